"""Depthwise convolution on CuPy: kernels that read images as they are, since products of one channel would be tiny."""

from typing import Any

import cupy
import numpy as np

from xnn._typing import Array, Pullback
from xnn.functional._common import rows
from xnn.functional.windows import Windows
from xnn.kernels.cupy.geometry import as_argument
from xnn.kernels.cupy.gradients import exact_gradient
from xnn.kernels.cupy.launching import FLOATS, Kernel
from xnn.kernels.cupy.sums import VECTORS, launch_sums, sum_rows, vector_of
from xnn.kernels.cupy.vectors import of_vectors, over_rows, vector_length
from xnn.kernels.pending import Computed

_DEPTHWISE = of_vectors("depthwise", "depthwise")
_IMAGE_GRADIENT = of_vectors("depthwise", "image_gradient")
_WEIGHT_GRADIENT = Kernel("depthwise", "weight_gradient", FLOATS, VECTORS)


def conv2d(x: Array, weight: Array, bias: Array | None, geometry: Windows) -> tuple[Array, Pullback]:
    """As `xnn.functional.conv2d` with as many groups as channels, for contiguous arrays of one type; one launch each.

    Parameters
    ----------
    x : (n, h, w, c)
    weight : (kh, kw, 1, m c)
    bias : (m c,) or None
    geometry : Windows
    """
    images, inputs, outputs = len(x), x.shape[3], weight.shape[3]
    letter, each = x.dtype.char, outputs // inputs
    y_shape = (images, *geometry.output, outputs)
    y = cupy.empty(y_shape, x.dtype)
    pixels = y.size // outputs
    # Neighbouring outputs have neighbouring inputs only if each channel has one output.
    length = vector_length(inputs, x, weight, *(() if bias is None else (bias,))) if each == 1 else "1"
    groups = inputs // int(length)
    grid, block = over_rows(pixels, groups * each)
    numbers = pixels, as_argument(geometry, groups, each)
    _DEPTHWISE[letter].launch((letter, length), grid, block, (x, weight, bias), (y,), numbers)

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> tuple[Any, ...]:
        dy = exact_gradient("conv2d", dy, y_shape, x.dtype)
        return (
            _image_gradient(dy, weight, geometry, inputs) if needs[0] else None,
            Computed(lambda place: _weight_gradient(x, dy, geometry, weight.shape, place)) if needs[1] else None,
            sum_rows(rows(dy)) if needs[2] and bias is not None else None,
        )

    return y, pullback


def _image_gradient(dy: Array, weight: Array, geometry: Windows, inputs: int) -> Array:
    letter, each = dy.dtype.char, dy.shape[3] // inputs
    dx = cupy.empty((len(dy), *geometry.size, inputs), dy.dtype)
    pixels = dx.size // inputs
    length = vector_length(inputs, dy, weight) if each == 1 else "1"
    groups = inputs // int(length)
    grid, block = over_rows(pixels, groups)
    numbers = pixels, as_argument(geometry, groups, each)
    _IMAGE_GRADIENT[letter].launch((letter, length), grid, block, (dy, weight), (dx,), numbers)
    return dx


def _weight_gradient(
    x: Array, dy: Array, geometry: Windows, shape: tuple[int, ...], place: Array | None = None
) -> Array:
    dweight, inputs, outputs = cupy.empty(shape, np.float32) if place is None else place, x.shape[3], dy.shape[3]
    length = vector_of(inputs, x, dy) if inputs == outputs else "1"
    argument = as_argument(geometry, inputs // int(length), outputs // inputs)
    sums = dy.size // outputs, geometry.taps * outputs
    launch_sums(_WEIGHT_GRADIENT, (x.dtype.char, length), sums, (x, dy), (dweight,), (argument,))
    return dweight
