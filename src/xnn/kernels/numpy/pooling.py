"""Twins of pooling, for windows that neither overlap nor leave gaps and need no padding, as in nearly every network."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.functional.pooling import pooling_windows
from xnn.functional.windows import Padding
from xnn.kernels.numpy.activations import relu
from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.threads import threads

MOST_TAPS = 255
"""Taps of a window, at most: the number of a tap is kept in one byte."""

_LEAST = 2**17


class Pooling(NamedTuple):
    """The shapes of images and of the windows that cover them side by side."""

    height: int
    width: int
    channels: int
    window_height: int
    window_width: int
    out_height: int
    out_width: int


def max_pool2d(
    x: Array, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> tuple[Array, Pullback]:
    """As `xnn.functional.max_pool2d`; one byte records which tap held the largest value."""
    shape = _shape("max_pool2d", x, window, stride, padding)
    if shape is None:
        return F.max_pool2d(x, window, stride, padding)
    y = empty((len(x), shape.out_height, shape.out_width, shape.channels))
    taps = empty(y.shape, np.uint8)
    _each_part(take_largest, shape, x, y, taps)

    x_shape = x.shape  # Not x itself, which would be kept.

    def pullback(dy: Array) -> Array:
        dx = empty(x_shape)
        _each_part(spread_to_largest, shape, np.ascontiguousarray(dy), dx, taps)
        return dx

    return y, pullback


def relu_max_pool2d(x: Array, _: tuple[()], pool: tuple[Any, ...]) -> tuple[Array, Pullback] | None:
    """As ReLU, followed by `max_pool2d`; pooling first gives the same result and leaves ReLU fewer numbers."""
    if _shape("max_pool2d", x, *pool) is None:
        return None
    z, inner = max_pool2d(x, *pool)
    y, outer = relu(z)
    return y, lambda dy: inner(outer(dy))


def global_max_pool2d(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.global_max_pool2d`."""
    if x.ndim != 4 or _shape("max_pool2d", x, x.shape[1:3], None, 0) is None:
        return F.global_max_pool2d(x)
    y, pullback = max_pool2d(x, x.shape[1:3])
    return y.reshape(len(x), -1), lambda dy: pullback(dy.reshape(y.shape))


def avg_pool2d(
    x: Array, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> tuple[Array, Pullback]:
    """As `xnn.functional.avg_pool2d`."""
    shape = _shape("avg_pool2d", x, window, stride, padding)
    if shape is None:
        return F.avg_pool2d(x, window, stride, padding)
    y = empty((len(x), shape.out_height, shape.out_width, shape.channels))
    _each_part(_avg_pool, shape, x, y)

    x_shape = x.shape  # Not x itself, which would be kept.

    def pullback(dy: Array) -> Array:
        dx = empty(x_shape)
        _each_part(_avg_pool_pullback, shape, np.ascontiguousarray(dy), dx)
        return dx

    return y, pullback


def _shape(
    function: str, x: Array, window: int | Sequence[int], stride: int | Sequence[int] | None, padding: Padding
) -> Pooling | None:
    """Return what the kernels need to know, or None if they do not apply."""
    if x.ndim != 4 or x.dtype != np.float32 or not x.flags.c_contiguous or x.size == 0:
        return None
    w = pooling_windows(function, x.shape[1:3], window, stride, padding)
    if w.stride != w.kernel or w.is_padded or w.taps > MOST_TAPS:
        return None
    return Pooling(*w.size, x.shape[3], *w.kernel, *w.output)


def _each_part(kernel: Any, shape: Pooling, *arrays: Array) -> None:
    pool = threads()
    per_image = shape.height * shape.width * shape.channels
    parts = pool.parts(len(arrays[0]), _LEAST // per_image + 1)
    pool.run(lambda part: kernel(shape, *(a[part.start : part.stop] for a in arrays)), parts)


@compiled
def take_largest(s: Pooling, x: Any, y: Any, taps: Any) -> None:
    """Set y to the largest number of each window of x, and taps to its place in the window.

    x may have more rows, columns and channels than `s` says.
    """
    if s.window_height == s.window_width == 2:
        _take_largest_of_four(s, x, y, taps)
        return
    # As wide as the numbers, since otherwise the loop would not be vectorized.
    held = np.empty(s.channels, np.int32)
    for n in range(x.shape[0]):
        for p in range(s.out_height):
            for q in range(s.out_width):
                top, left = p * s.window_height, q * s.window_width
                best = y[n, p, q]
                best[:] = x[n, top, left, : s.channels]
                held[:] = 0
                for tap in range(1, s.window_height * s.window_width):
                    candidate = x[n, top + tap // s.window_width, left + tap % s.window_width]
                    for c in range(s.channels):
                        best[c], held[c] = _larger(best[c], held[c], candidate[c], np.int32(tap))
                taps[n, p, q, :] = held


@inlined
def _take_largest_of_four(s: Pooling, x: Any, y: Any, taps: Any) -> None:
    for n in range(x.shape[0]):
        for p in range(s.out_height):
            for q in range(s.out_width):
                first, second = x[n, 2 * p, 2 * q], x[n, 2 * p, 2 * q + 1]
                third, fourth = x[n, 2 * p + 1, 2 * q], x[n, 2 * p + 1, 2 * q + 1]
                largest, held = y[n, p, q], taps[n, p, q]
                for c in range(s.channels):
                    best, tap = _larger(first[c], np.int32(0), second[c], np.int32(1))
                    best, tap = _larger(best, tap, third[c], np.int32(2))
                    largest[c], held[c] = _larger(best, tap, fourth[c], np.int32(3))


@inlined
def _larger(best: Any, held: Any, value: Any, tap: Any) -> Any:
    """Return the larger value and its tap; of equal values the first wins, and NaN counts as the largest."""
    is_larger = (value > best) | (value != value)
    return (value, tap) if is_larger else (best, held)


@compiled
def spread_to_largest(s: Pooling, dy: Any, dx: Any, taps: Any) -> None:
    """Adjoint of `take_largest`; within the windows, channels of dx beyond those of dy stay as they are."""
    for n in range(dy.shape[0]):
        _clear_rest(s, n, dx)
        for p in range(s.out_height):
            for q in range(s.out_width):
                for tap in range(s.window_height * s.window_width):
                    row, column = p * s.window_height + tap // s.window_width, q * s.window_width + tap % s.window_width
                    for c in range(s.channels):
                        dx[n, row, column, c] = dy[n, p, q, c] if taps[n, p, q, c] == tap else np.float32(0.0)


@compiled
def _avg_pool(s: Pooling, x: Any, y: Any) -> None:
    share = np.float32(1.0 / (s.window_height * s.window_width))
    for n in range(x.shape[0]):
        for p in range(s.out_height):
            for q in range(s.out_width):
                for c in range(s.channels):
                    y[n, p, q, c] = 0.0
                for i in range(s.window_height):
                    for j in range(s.window_width):
                        for c in range(s.channels):
                            y[n, p, q, c] += x[n, p * s.window_height + i, q * s.window_width + j, c] * share


@compiled
def _avg_pool_pullback(s: Pooling, dy: Any, dx: Any) -> None:
    share = np.float32(1.0 / (s.window_height * s.window_width))
    for n in range(dy.shape[0]):
        _clear_rest(s, n, dx)
        for p in range(s.out_height):
            for q in range(s.out_width):
                for i in range(s.window_height):
                    for j in range(s.window_width):
                        for c in range(s.channels):
                            dx[n, p * s.window_height + i, q * s.window_width + j, c] = dy[n, p, q, c] * share


@compiled
def _clear_rest(s: Pooling, n: int, dx: Any) -> None:
    """Set to zero the pixels below and to the right of the last windows."""
    rows, columns = s.out_height * s.window_height, s.out_width * s.window_width
    dx[n, rows:] = 0.0
    dx[n, :rows, columns:] = 0.0
