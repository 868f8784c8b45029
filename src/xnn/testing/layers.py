"""The check of a layer: its gradients, and everything else that a model relies on."""

from typing import Any

import numpy as np

from xnn._typing import Array, ArrayObject, Pullback, Shape
from xnn.backends import Backend
from xnn.nn.layer import Layer
from xnn.testing.gradients import STEP, check_pullback


def check_layer(
    layer: Layer,
    input_shape: Shape,
    *,
    batch: int = 3,
    train: bool = True,
    x: ArrayObject | None = None,
    backend: Backend | str = "numpy",
    seed: int = 0,
    step: float = STEP,
    rtol: float = 1e-6,
) -> None:
    """Check the gradients of a layer, or of a whole model, with respect to its input and to every parameter.

    The layer is built again, in float64, and given random parameters. Its pullback is compared with finite differences
    as in `check_pullback`; running statistics and random numbers are restored before each call, so that every call
    computes the same function. Also, the output must have the promised shape, the pullback must overwrite the gradients
    whatever they held, and without ``input_gradient`` it must return None and fill the same gradients.

    Parameters
    ----------
    layer : Layer
    input_shape : tuple of int
        Without the batch axis.
    batch : int
        How many inputs to draw.
    train : bool
        Whether to check the function used in training or that used in inference.
    x : array, optional
        The inputs to check at, if random ones will not do.
    backend, seed, step, rtol :
        As in `check_pullback`.

    Raises
    ------
    AssertionError
        As in `check_pullback`; the message uses the parameters' names in the model.

    Examples
    --------
    >>> from xnn import nn, testing
    >>> testing.check_layer(nn.Sequential(nn.Conv2d(4, 3), nn.BatchNorm(), nn.Tanh()), (5, 5, 2))
    """
    layer.build(tuple(input_shape), backend=backend, seed=seed, dtype="float64")
    random = np.random.default_rng(seed)
    if x is None:
        x = random.standard_normal((batch, *input_shape))
    values = [np.asarray(random.standard_normal(view.shape)) for view in layer.parameters.values()]
    function = _as_function(layer, train)
    names = ("input", *layer.parameters)
    check_pullback(function, (x, *values), names=names, backend=layer.backend, seed=seed, step=step, rtol=rtol)
    _check_without_input_gradient(layer, function, x, values)


def _as_function(layer: Layer, train: bool) -> Any:
    """Return the layer as a pure function (x, *parameters) -> (y, pullback)."""
    xp = layer.backend.xp
    kept_buffers, kept_counter = xp.asarray(layer.buffers.flat, copy=True), layer.random.counter

    def function(x: Array, *values: Array) -> tuple[Array, Pullback]:
        for view, value in zip(layer.parameters.values(), values, strict=True):
            view[...] = value
        layer.buffers.flat[...] = kept_buffers
        layer.random.counter = kept_counter
        y, layer_pullback = layer.forward(x, train)
        if tuple(y.shape[1:]) != layer.output_shape:
            raise AssertionError(
                f"{function.__name__}: initialize promised outputs of shape {layer.output_shape}, "
                f"forward makes {tuple(y.shape[1:])}"
            )

        def pullback(dy: Array, input_gradient: bool = True) -> tuple[Array | None, ...]:
            # A gradient that is added to rather than written stays NaN, and so does one that is forgotten.
            layer.gradients.flat[...] = xp.nan
            dx = layer_pullback(dy, input_gradient)
            return dx, *(xp.asarray(view, copy=True) for view in layer.gradients.values())

        return y, pullback

    function.__name__ = type(layer).__name__
    return function


def _check_without_input_gradient(layer: Layer, function: Any, x: Any, values: list[Any]) -> None:
    backend = layer.backend
    arguments = [backend.asarray(value) for value in (x, *values)]
    y, pullback = function(*arguments)
    dy = backend.xp.ones_like(y)
    _, *expected = pullback(dy)
    _, pullback = function(*arguments)
    dx, *found = pullback(dy, input_gradient=False)
    if dx is not None:
        raise AssertionError(f"{function.__name__}: the pullback returns an input gradient that was not asked for")
    for name, a, b in zip(layer.parameters, expected, found, strict=True):
        with_it, without = backend.to_numpy(a), backend.to_numpy(b)
        if not np.array_equal(with_it, without):
            index = tuple(int(i) for i in np.argwhere(with_it != without)[0])
            raise AssertionError(
                f"{function.__name__}: the gradient of {name} depends on input_gradient: "
                f"{with_it[index]:.9g} with it and {without[index]:.9g} without, at {index}"
            )
