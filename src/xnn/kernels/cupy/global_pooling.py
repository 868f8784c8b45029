"""Twins of the pooling of all pixels, in one launch each way."""

import math

import cupy
import numpy as np

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.kernels.cupy.launching import FLOATS, INT_MAX, Kernel, is_plain
from xnn.kernels.cupy.pixels import LAYOUTS, layout, over_images, over_pixels

_AVG = Kernel("global_pooling", "global_avg_pool", FLOATS, LAYOUTS)
_AVG_PULLBACK = Kernel("global_pooling", "global_avg_pool_pullback", FLOATS, LAYOUTS)
_MAX = Kernel("global_pooling", "global_max_pool", FLOATS, LAYOUTS)
_MAX_PULLBACK = Kernel("global_pooling", "global_max_pool_pullback", FLOATS, LAYOUTS)


def global_avg_pool2d(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.global_avg_pool2d`."""
    if not _is_covered(x):
        return F.global_avg_pool2d(x)
    shape, (n, h, w, c) = x.shape, x.shape
    y = cupy.empty((n, c), x.dtype)
    wide = layout(x)
    _AVG.launch((x.dtype.char, wide), *over_images(x, wide), (x,), (y,), (n, h * w, c))

    def pullback(dy: Array) -> Array:
        dy = cupy.ascontiguousarray(dy)
        if dy.shape != (n, c) or not is_plain(dy):
            return cupy.array(cupy.broadcast_to(dy[:, None, None, :] / (h * w), shape))
        dx, wide = cupy.empty(shape, dy.dtype), layout(dy)
        _AVG_PULLBACK.launch((dy.dtype.char, wide), *over_pixels(dx, wide), (dy,), (dx,), (n, h * w, c))
        return dx

    return y, pullback


def global_max_pool2d(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.global_max_pool2d`."""
    if not _is_covered(x):
        return F.global_max_pool2d(x)
    shape, (n, h, w, c) = x.shape, x.shape
    y, places = cupy.empty((n, c), x.dtype), cupy.empty((n, c), np.int32)
    wide = layout(x)
    _MAX.launch((x.dtype.char, wide), *over_images(x, wide), (x,), (y, places), (n, h * w, c))

    def pullback(dy: Array) -> Array:
        dy = cupy.ascontiguousarray(dy)
        if dy.shape != (n, c) or not is_plain(dy):
            is_largest = cupy.arange(h * w)[None, :, None] == places[:, None, :]
            return cupy.where(is_largest, dy[:, None, :], cupy.zeros((), dy.dtype)).reshape(shape)
        dx, wide = cupy.empty(shape, dy.dtype), layout(dy)
        _MAX_PULLBACK.launch((dy.dtype.char, wide), *over_pixels(dx, wide), (dy, places), (dx,), (n, h * w, c))
        return dx

    return y, pullback


def _is_covered(x: Array) -> bool:
    return is_plain(x) and x.ndim == 4 and math.prod(x.shape[1:]) <= INT_MAX
