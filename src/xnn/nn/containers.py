"""Layers made of layers: each composes its parts' pullbacks in reverse."""

import reprlib
from collections.abc import Sequence

from xnn import _checks
from xnn._typing import Array, Pullback, Shape
from xnn.nn.joined import in_turn, joined
from xnn.nn.layer import Layer


class Sequential(Layer):
    """Layers one after another: y = f_k(... f_1(x)), dx = pullback_1(... pullback_k(dy)).

    If the input's gradient is not asked for, the pullback stops at the first layer with something to train: the layers
    before it, and that layer's own input gradient, cost nothing.

    Parameters
    ----------
    *layers : Layer
        Named "0", "1", ... inside the model; ``model[i]`` gives one back.

    Examples
    --------
    >>> from xnn import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(32), nn.ReLU(), nn.Linear(10))
    >>> model = model.build((8, 8, 1), backend="numpy", seed=0)
    >>> model.output_shape
    (10,)
    >>> list(model.parameters)
    ['1.weight', '1.bias', '3.weight', '3.bias']
    >>> model[1]
    Linear(32)
    """

    arithmetic = "given"

    def __init__(self, *layers: Layer) -> None:
        self.layers = checked("Sequential", layers)

    def initialize(self, shape: Shape) -> Shape:
        """Pass the shape through all layers."""
        for number, layer in enumerate(self.layers):
            shape = self.child(str(number), layer, shape)
        return shape

    def _link(self) -> None:
        super()._link()
        self._steps = [joined(self.layers, train) for train in (False, True)]

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        _checks.no_list("x", x)
        return in_turn(self._steps[train], x, train, [])

    def __getitem__(self, number: int) -> Layer:
        return self.layers[number]

    def __len__(self) -> int:
        return len(self.layers)


class Residual(Layer):
    """Sum of a body and a shortcut: y = body(x) + shortcut(x), dx = the sum of both pullbacks of dy.

    Parameters
    ----------
    body : Layer
    shortcut : Layer or None
        None is the identity; then the body must keep the shape.

    Examples
    --------
    >>> from xnn import nn
    >>> block = nn.Residual(nn.Linear(2, weight_initializer=nn.initializers.zeros))
    >>> block.build((2,), backend="numpy").predict([[1.0, 2.0]])  # the body gives 0 at first
    array([[1., 2.]], dtype=float32)
    """

    arithmetic = "given"

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        (self.body,) = checked("Residual", (body,))
        self.shortcut = None if shortcut is None else checked("Residual", (shortcut,))[0]

    def initialize(self, shape: Shape) -> Shape:
        """Return the shape that body and shortcut agree on."""
        output = self.child("body", self.body, shape)
        passed = shape if self.shortcut is None else self.child("shortcut", self.shortcut, shape)
        if output != passed:
            raise ValueError(
                f"Residual: the body makes {output} but the shortcut {passed} of {shape}; "
                "give a shortcut layer that makes them equal"
            )
        return output

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        a, body_pullback = self.body.forward(x, train)
        b, shortcut_pullback = (x, _pass) if self.shortcut is None else self.shortcut.forward(x, train)
        y, add_pullback = self.functions.add(a, b)

        def pullback(dy: Array, input_gradient: bool = True) -> Array | None:
            dbody, dshortcut = add_pullback(dy)
            dx = body_pullback(dbody, input_gradient)
            dx_shortcut = shortcut_pullback(dshortcut, input_gradient)
            return dx + dx_shortcut if input_gradient else None

        return y, pullback


class Parallel(Layer):
    """Branches side by side on one input, their outputs concatenated along the last axis (channels).

    dx is the sum of the branches' pullbacks, each of its own piece of dy.

    Parameters
    ----------
    *branches : Layer
        Named "0", "1", ... inside the model; their outputs may differ only in the last axis.

    Examples
    --------
    >>> from xnn import nn
    >>> branches = nn.Parallel(nn.Conv2d(4, 1), nn.Conv2d(8, 3, padding="same"), nn.Conv2d(2, 5, padding="same"))
    >>> branches.build((16, 16, 3), backend="numpy").output_shape
    (16, 16, 14)
    """

    arithmetic = "given"

    def __init__(self, *branches: Layer) -> None:
        self.branches = checked("Parallel", branches)

    def initialize(self, shape: Shape) -> Shape:
        """Return the shape of the concatenated outputs."""
        outputs = [self.child(str(number), branch, shape) for number, branch in enumerate(self.branches)]
        if len({output[:-1] for output in outputs}) != 1 or () in outputs:
            raise ValueError(f"Parallel: the branches' outputs {outputs} differ in more than the last axis")
        return (*outputs[0][:-1], sum(output[-1] for output in outputs))

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        outputs, pullbacks = zip(*(branch.forward(x, train) for branch in self.branches), strict=True)
        y, cut = self.functions.concatenate(outputs)

        def pullback(dy: Array, input_gradient: bool = True) -> Array | None:
            gradients = [pull(piece, input_gradient) for pull, piece in zip(pullbacks, cut(dy), strict=True)]
            if not input_gradient:
                return None
            first, *others = gradients
            for gradient in others:
                first = first + gradient
            return first

        return y, pullback


Concatenate = Parallel
"""`Parallel`, named after what it does with the branches' outputs."""


def _pass(dy: Array, input_gradient: bool = True) -> Array:
    """The identity's pullback."""
    return dy


def checked(container: str, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers as a tuple; raise if there are none, or if one of them is not a layer."""
    if not layers:
        raise ValueError(f"{container}: give at least one layer")
    for layer in layers:
        if isinstance(layer, Layer):
            continue
        advice = ""
        if isinstance(layer, type) and issubclass(layer, Layer):
            advice = f"; write {layer.__name__}(), with parentheses"
        elif isinstance(layer, list | tuple):
            advice = f"; give the layers one by one, as in {container}(*layers)"
        raise TypeError(f"{container}: {reprlib.repr(layer)} is not a layer{advice}")
    return tuple(layers)
