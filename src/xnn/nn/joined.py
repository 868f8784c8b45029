"""Layers in a row that one twin computes together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xnn._typing import Array, Pullback
from xnn.nn.chain import Chain
from xnn.nn.layer import Layer


@dataclass(frozen=True, eq=False)
class Joined:
    """Layers in a row that a twin computes together; if it declines, they compute one by one or in shorter groups.

    Parameters
    ----------
    layers : sequence of Layer
    twin : callable
        ``(x, *values of each layer's call) -> (y, pullback)`` or None.
    others : sequence of Layer or Joined
        All layers but the first, in the form in which they compute if the twin declines.
    """

    layers: Sequence[Layer]
    twin: Callable[..., Any]
    others: "Sequence[Layer | Joined]"

    @property
    def trainable(self) -> bool:
        """Whether anything in the layers is trainable."""
        return any(layer.trainable for layer in self.layers)

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        if any("forward" in vars(layer) for layer in self.layers):
            # Somebody has replaced a layer's forward since the model was built.
            return in_turn(self.layers, x, train, [])
        first = self.layers[0]
        # Only the first layer's call may depend on x: the others' x is not known here.
        calls = [layer.call(x, train) for layer in self.layers]
        result = self.twin(x, *[call.values for call in calls])
        if result is not None:
            return first.connect(result, *[parameter for call in calls for parameter in call.parameters])
        y, pullback = first.perform(x, calls[0], train)
        return in_turn(self.others, y, train, [(pullback, False)], first.trainable)


def in_turn(
    layers: "Sequence[Layer | Joined]",
    x: Array,
    train: bool,
    steps: list[tuple[Pullback, bool]],
    trainable_before: bool = False,
) -> tuple[Array, Pullback]:
    """Return (y, pullback) of layers one after another, which follow the layers whose pullbacks are in `steps`."""
    for layer in layers:
        x, pullback = layer.forward(x, train)
        steps.append((pullback, trainable_before))
        trainable_before = trainable_before or layer.trainable
    return x, Chain(steps, train)


def joined(layers: Sequence[Layer], train: bool) -> list[Layer | Joined]:
    """Return the layers to call in turn; those whose functions have a common twin are joined."""
    steps: list[Layer | Joined] = []
    while layers:
        first, *behind = layers
        names = [_name(first, train), *[_name(layer, train, is_first=False) for layer in behind]]
        length, twin = first.functions.longest(names)
        own = layers[:length]
        steps.append(first if twin is None else Joined(own, twin, joined(own[1:], train)))
        layers = layers[length:]
    return steps


def _name(layer: Layer, train: bool, *, is_first: bool = True) -> str:
    """Return the name of the function that a layer calls, or "" if it overrides methods that a twin would bypass.

    For a layer behind another one, `call` is such a method too, since it may depend on x.
    """
    kind = type(layer)
    own_ways = (kind.forward, kind.perform, kind.connect) != (Layer.forward, Layer.perform, Layer.connect)
    if own_ways or "forward" in vars(layer) or not (is_first or kind.call is Layer.call):
        return ""
    return kind.function if train else kind.inference_function or kind.function
