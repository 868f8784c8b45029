"""The twin of the affine map: products by cuBLAS, and the bias with an activation in one pass after them."""

from typing import Any

import cupy

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.functional._common import rows
from xnn.kernels.cupy.activations import pull
from xnn.kernels.cupy.gradients import as_gradient
from xnn.kernels.cupy.launching import INT_MAX, is_plain
from xnn.kernels.cupy.products import multiply
from xnn.kernels.cupy.sums import sum_rows
from xnn.kernels.cupy.vectors import of_vectors, over_rows, vector_length
from xnn.kernels.pending import Computed

_ADD_BIAS = of_vectors("linear", "add_bias", ("Identity", "Relu"))


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Pullback]:
    """As `xnn.functional.linear`; the weight's gradient is pending."""
    if not _is_plain(x, weight, bias):
        return F.linear(x, weight, bias)
    x_rows, shape = rows(x), x.shape
    y = multiply(x_rows, weight)
    if bias is not None:
        add_bias(y, bias)

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> tuple[Any, ...]:
        return _gradients(x_rows, weight, bias, rows(cupy.ascontiguousarray(dy, weight.dtype)), needs, shape)

    return _of_shape(y, (*shape[:-1], y.shape[1])), pullback


def linear_relu(x: Array, affine: tuple[Array, Array | None], _: tuple[()]) -> tuple[Array, Pullback] | None:
    """As `linear`, followed by ReLU, if there is a bias to add in the same pass."""
    weight, bias = affine
    if bias is None or not _is_plain(x, weight, bias):
        return None
    x_rows, shape = rows(x), x.shape
    y = multiply(x_rows, weight)
    add_bias(y, bias, "Relu")
    y_shape = (*shape[:-1], y.shape[1])

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> tuple[Any, ...]:
        dz = pull("Relu", y, rows(as_gradient(dy, y_shape, y.dtype)))
        return _gradients(x_rows, weight, bias, dz, needs, shape)

    return _of_shape(y, y_shape), pullback


def add_bias(y: Array, bias: Array, activation: str = "Identity") -> None:
    """Add a bias (c,) to y (..., c) in place, and apply an activation of `activations.cuh`; one launch."""
    channels = bias.size
    length = vector_length(channels, y, bias)
    count, vectors = y.size // channels, channels // int(length)
    parameters = y.dtype.char, length, activation
    _ADD_BIAS[y.dtype.char].launch(parameters, *over_rows(count, vectors), (bias, y), (y,), (count, vectors))


def _gradients(
    x: Array,
    weight: Array,
    bias: Array | None,
    dy: Array,
    needs: tuple[bool, bool, bool],
    shape: tuple[int, ...],
) -> tuple[Any, ...]:
    return (
        _of_shape(multiply(dy, weight.T), shape) if needs[0] else None,
        Computed(lambda place: multiply(x.T, dy, place)) if needs[1] else None,
        sum_rows(dy) if needs[2] and bias is not None else None,
    )


def _is_plain(x: Array, weight: Array, bias: Array | None) -> bool:
    """Whether the twin covers the arguments; about wrong ones the reference says what is wrong."""
    arrays = (x, weight) if bias is None else (x, weight, bias)
    if not is_plain(*arrays):
        return False
    fits = x.ndim > 0 and weight.ndim == 2 and x.shape[-1] == weight.shape[0]
    fits = fits and max(x.size // x.shape[-1], *weight.shape) <= INT_MAX
    return fits and (bias is None or bias.shape == weight.shape[1:])


def _of_shape(x: Array, shape: tuple[int, ...]) -> Array:
    return x if x.shape == shape else x.reshape(shape)
