"""Twins of the pooling of windows, forward in one launch, and back in another.

Back, each pixel adds up what the windows that see it send it, so nothing is cleared first and no addition is atomic.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cupy
import numpy as np

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.functional.pooling import pooling_windows
from xnn.functional.windows import Padding, Windows, scatter
from xnn.kernels.cupy.global_pooling import global_avg_pool2d, global_max_pool2d
from xnn.kernels.cupy.launching import FLOATS, INT_MAX, Kernel, is_plain
from xnn.kernels.cupy.pixels import LAYOUTS, layout, over_pixels

__all__ = ["avg_pool2d", "global_avg_pool2d", "global_max_pool2d", "max_pool2d", "relu_max_pool2d"]

_MAX = Kernel("pooling", "max_pool", FLOATS, LAYOUTS)
_MAX_PULLBACK = Kernel("pooling", "max_pool_pullback", FLOATS, LAYOUTS)
_AVG = Kernel("pooling", "avg_pool", FLOATS, LAYOUTS)
_AVG_PULLBACK = Kernel("pooling", "avg_pool_pullback", FLOATS, LAYOUTS)

_NO_TAP = 255
"""Stands for no tap; others are numbered from 0."""

# As `Windows` in `pooling.cu`.
_FIELDS = "height width channels window_height window_width stride_down stride_across top left down across"
_WINDOWS = np.dtype([(name, np.int32) for name in _FIELDS.split()])


def max_pool2d(
    x: Array, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> tuple[Array, Pullback]:
    """As `xnn.functional.max_pool2d`; one byte records which tap held the largest value."""
    geometry = _geometry("max_pool2d", x, window, stride, padding)
    if geometry is None or geometry.windows.taps > _NO_TAP:
        return F.max_pool2d(x, window, stride, padding)
    return _max_pool(x, geometry, 0, -math.inf)


def relu_max_pool2d(x: Array, _: tuple[()], pool: tuple[Any, ...]) -> tuple[Array, Pullback] | None:
    """As ReLU, followed by `max_pool2d`, in one pass: windows with no positive number send nothing back."""
    geometry = _geometry("max_pool2d", x, *pool)
    if geometry is None or geometry.windows.taps > _NO_TAP:
        return None
    return _max_pool(x, geometry, _NO_TAP, 0.0)


def avg_pool2d(
    x: Array, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> tuple[Array, Pullback]:
    """As `xnn.functional.avg_pool2d`."""
    geometry = _geometry("avg_pool2d", x, window, stride, padding)
    if geometry is None:
        return F.avg_pool2d(x, window, stride, padding)
    windows, numbers = geometry
    y, wide = cupy.empty((len(x), *windows.output, x.shape[3]), x.dtype), layout(x)
    _AVG.launch((x.dtype.char, wide), *over_pixels(y, wide), (x,), (y,), (numbers, len(x)))
    x_shape, y_shape = x.shape, y.shape

    def pullback(dy: Array) -> Array:
        dy = cupy.ascontiguousarray(dy)
        if dy.shape != y_shape or not is_plain(dy):
            return scatter(windows, [dy / windows.taps] * windows.taps)
        dx, wide = cupy.empty(x_shape, dy.dtype), layout(dy)
        _AVG_PULLBACK.launch((dy.dtype.char, wide), *over_pixels(dx, wide), (dy,), (dx,), (numbers, len(dx)))
        return dx

    return y, pullback


class _Geometry(NamedTuple):
    """The windows, and what `pooling.cu` needs to know of them."""

    windows: Windows
    numbers: Any


def _geometry(
    function: str,
    x: Array,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Padding = 0,
) -> _Geometry | None:
    """Return the geometry, or None if the kernels do not apply."""
    if not is_plain(x) or x.ndim != 4:
        return None
    arguments = function, x.shape[1:], window, stride, padding
    try:
        return _made_once(*arguments)
    except TypeError:
        # A list has no hash.
        return _made(*arguments)


def _made(
    function: str,
    image: tuple[int, ...],
    window: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: Padding,
) -> _Geometry | None:
    w = pooling_windows(function, image[:2], window, stride, padding)
    # The largest that the kernels count to.
    numbers = max(math.prod(w.size), math.prod(w.output)) * image[2]
    if max(numbers, w.taps, *w.padded, *w.stride) > INT_MAX:
        return None
    return _Geometry(w, np.array((*w.size, image[2], *w.kernel, *w.stride, *w.before, *w.output), _WINDOWS)[()])


_made_once = functools.lru_cache(maxsize=256, typed=True)(_made)
"""The same, without making again what takes longer than to launch a kernel."""


def _max_pool(x: Array, geometry: _Geometry, no_tap: int, least: float) -> tuple[Array, Pullback]:
    """Return the pooling with what counts as the tap where no number is above `least`."""
    windows, numbers = geometry
    y, wide = cupy.empty((len(x), *windows.output, x.shape[3]), x.dtype), layout(x)
    taps = cupy.empty(y.shape, np.uint8)
    _MAX.launch((x.dtype.char, wide), *over_pixels(y, wide), (x,), (y, taps), (numbers, len(x), no_tap, least))
    x_shape = x.shape  # Not x itself, which would be kept.

    def pullback(dy: Array) -> Array:
        dy = cupy.ascontiguousarray(dy)
        if dy.shape != taps.shape or not is_plain(dy):
            zero = cupy.zeros((), dy.dtype)
            return scatter(windows, [cupy.where(taps == tap, dy, zero) for tap in range(windows.taps)])
        dx, wide = cupy.empty(x_shape, dy.dtype), layout(dy)
        _MAX_PULLBACK.launch((dy.dtype.char, wide), *over_pixels(dx, wide), (dy, taps), (dx,), (numbers, len(dx)))
        return dx

    return y, pullback
