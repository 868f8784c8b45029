"""Layers in a row that one twin computes together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xnn._typing import Array, Pullback
from xnn.nn.chain import Chain
from xnn.nn.layer import Layer


@dataclass(frozen=True, eq=False)
class Joined:
    """Layers in a row that a twin computes together; where it declines, they compute otherwise.

    Parameters
    ----------
    layers : sequence of Layer
    twin : callable
        ``(x, *values of each layer's call) -> (y, pullback)`` or None.
    others : sequence of Layer or Joined
        All layers but the first, as they compute where the twin declines.
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
        first = self.layers[0]
        # Only the first layer's call may depend on x: the others' x is not known here.
        calls = [layer.call(x, train) for layer in self.layers]
        result = self.twin(x, *[call.values for call in calls])
        if result is not None:
            return first.connect(result, *[parameter for call in calls for parameter in call.parameters])
        y, pullback = first.perform(x, calls[0], train)
        steps, trainable_before = [(pullback, False)], first.trainable
        for layer in self.others:
            y, pullback = layer.forward(y, train)
            steps.append((pullback, trainable_before))
            trainable_before = trainable_before or layer.trainable
        return y, Chain(steps, train)


def joined(layers: Sequence[Layer], train: bool) -> list[Layer | Joined]:
    """Return the layers to call in turn, those joined whose functions have a twin together."""
    names = [_name(layer, train) for layer in layers]
    steps: list[Layer | Joined] = []
    while len(names) > 0:
        length, twin = layers[0].functions.longest(names)
        own = layers[:length]
        steps.append(layers[0] if twin is None else Joined(own, twin, joined(own[1:], train)))
        layers, names = layers[length:], names[length:]
    return steps


def _name(layer: Layer, train: bool) -> str:
    """Return the name of the function that a layer calls, or "" if it has a forward of its own."""
    if type(layer).forward is not Layer.forward or "forward" in vars(layer):
        return ""
    return layer.function if train else layer.inference_function or layer.function
