"""The twin of `xnn.functional.conv2d`: choosing the algorithm that suits a geometry."""

import functools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from xnn import functional as F
from xnn._checks import is_size
from xnn._typing import Array, Pullback
from xnn.errors import SettingError
from xnn.functional.pooling import pooling_windows
from xnn.functional.windows import Padding, Windows, windows
from xnn.kernels.numpy import depthwise, direct, grouped, winograd
from xnn.kernels.numpy.activations import relu
from xnn.kernels.numpy.pooling import MOST_TAPS
from xnn.kernels.numpy.threads import threads

WINOGRAD_VARIABLE = "XNN_WINOGRAD"
_WINOGRAD_CHANNELS = 16
"""Fewest input and output channels that pay for the transforms; see `python -m benchmarks.geometry`."""

_WINOGRAD_TILES = 16
"""Fewest tiles that pay for transforming the weight."""

_WINOGRAD_PRODUCT = 2**27
"""Fewest multiplications of the plain sum (some milliseconds) for which compiling Winograd's algorithm pays."""


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    *,
    large: bool = False,
) -> tuple[Array, Pullback]:
    """As `xnn.functional.conv2d`, for float32; all else takes the reference.

    `large` allows the larger tiles of Winograd's algorithm, whose errors are a seventh of TF32's or less.
    """
    if not _is_plain(x, weight, bias, groups):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    geometry = windows("conv2d", x.shape[1:3], weight.shape[:2], stride, padding, dilation)
    if groups == 1:
        return _one_group(x, weight, bias, geometry, large=large)
    if groups == x.shape[3]:
        return depthwise.conv2d(x, weight, bias, geometry)
    return grouped.conv2d(functools.partial(_one_group, large=large), x, weight, bias, geometry, groups)


def conv2d_max_pool2d(
    x: Array, conv: tuple[Any, ...], pool: tuple[Any, ...], *, large: bool = False
) -> tuple[Array, Pullback] | None:
    """As `conv2d`, followed by max pooling with windows side by side, if Winograd's algorithm suits the geometry."""
    weight, bias, stride, padding, dilation, groups = conv
    if groups != 1 or not _is_plain(x, weight, bias, groups):
        return None
    geometry = windows("conv2d", x.shape[1:3], weight.shape[:2], stride, padding, dilation)
    window = pooling_windows("max_pool2d", geometry.output, *pool)
    suits = window.stride == window.kernel and not window.is_padded and window.taps <= MOST_TAPS
    if not suits or not suits_winograd(geometry, len(x), *weight.shape[2:]):
        return None
    return winograd.conv2d(x, weight, bias, geometry, window.kernel, large=large)


def conv2d_relu_max_pool2d(
    x: Array, conv: tuple[Any, ...], _: tuple[()], pool: tuple[Any, ...], *, large: bool = False
) -> tuple[Array, Pullback] | None:
    """As `conv2d`, then ReLU and max pooling; pooling first gives the same result and leaves ReLU fewer numbers."""
    pooled = conv2d_max_pool2d(x, conv, pool, large=large)
    if pooled is None:
        return None
    y, outer = relu(pooled[0])
    return y, lambda dy, *needs: pooled[1](outer(dy), *needs)


conv2d_tf32 = functools.partial(conv2d, large=True)
conv2d_max_pool2d_tf32 = functools.partial(conv2d_max_pool2d, large=True)
conv2d_relu_max_pool2d_tf32 = functools.partial(conv2d_relu_max_pool2d, large=True)


def _is_plain(x: Array, weight: Array, bias: Array | None, groups: int) -> bool:
    """Whether a twin covers the arguments; it does not cover wrong ones, since the reference says what is wrong."""
    arrays = (x, weight) if bias is None else (x, weight, bias)
    if not all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays):
        return False
    if x.ndim != 4 or weight.ndim != 4 or x.size == 0 or weight.size == 0 or not is_size(groups, 1):
        return False
    fits = x.shape[3] == weight.shape[2] * groups and weight.shape[3] % groups == 0
    return fits and (bias is None or bias.shape == weight.shape[3:])


def _one_group(
    x: Array, weight: Array, bias: Array | None, geometry: Windows, *, large: bool = False
) -> tuple[Array, Pullback]:
    if suits_winograd(geometry, *x.shape[:1], *weight.shape[2:]):
        return winograd.conv2d(x, weight, bias, geometry, large=large)
    return direct.conv2d(x, weight, bias, geometry)


def suits_winograd(geometry: Windows, images: int, inputs: int, outputs: int) -> bool:
    """Whether Winograd's algorithm covers the geometry and is faster there than the plain sum of products."""
    covered = geometry.kernel == (3, 3) and geometry.stride == (1, 1) and geometry.dilation == (1, 1)
    tiles = images * math.prod(-(-length // 4) for length in geometry.output)
    product = 9 * images * math.prod(geometry.output) * inputs * outputs
    # With fewer images than threads, the direct algorithm still has work for all threads.
    enough = images >= threads().count and tiles >= _WINOGRAD_TILES and product >= _WINOGRAD_PRODUCT
    return covered and enough and min(inputs, outputs) >= _WINOGRAD_CHANNELS and is_allowed()


def is_allowed() -> bool:
    """Whether ``$XNN_WINOGRAD`` allows Winograd's algorithm (1 or unset) or asks for the plain sum of products (0)."""
    value = os.environ.get(WINOGRAD_VARIABLE) or "1"
    if value not in ("0", "1"):
        raise SettingError(f"${WINOGRAD_VARIABLE} must be 0 or 1, not {value!r}")
    return value == "1"
