"""The linear maps of Winograd's F(4x4, 3x3) for weights: G w Gᵀ into 36 planes, and its adjoint, compiled by Numba."""

from typing import Any

import numpy as np

from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.products import WIDTH
from xnn.kernels.numpy.simd import LANES, load, splat, store
from xnn.kernels.numpy.winograd_tiles import load6, store6


@inlined
def _weight_line(w0: Any, w1: Any, w2: Any) -> Any:
    """G w, one column."""
    ends, middle = splat(-1.0 / 6.0) * (w0 + w2), splat(-1.0 / 6.0) * w1
    wide, odd = splat(1.0 / 24.0) * w0 + splat(1.0 / 6.0) * w2, splat(1.0 / 12.0) * w1
    return splat(0.25) * w0, ends + middle, ends - middle, wide + odd, wide - odd, w2


@inlined
def _weight_line_adjoint(u0: Any, u1: Any, u2: Any, u3: Any, u4: Any, u5: Any) -> Any:
    """Gᵀ u, one column."""
    near, far = splat(-1.0 / 6.0) * (u1 + u2), u3 + u4
    odd = splat(-1.0 / 6.0) * (u1 - u2) + splat(1.0 / 12.0) * (u3 - u4)
    return splat(0.25) * u0 + near + splat(1.0 / 24.0) * far, odd, near + splat(1.0 / 6.0) * far + u5


@compiled
def weight_to_planes(
    weight: Any, tap_step: int, rows: int, row_step: int, columns: int, column_step: int, wide_rows: int,
    start: int, stop: int, planes: Any,
) -> None:  # fmt: skip
    """G w Gᵀ in 36 planes, each in panels of 16 columns.

    Parameters
    ----------
    weight : (numbers,)
        Element (i, j) of a tap is ``weight[tap * tap_step + i * row_step + j * column_step]``.
    wide_rows : int
        Rows of a panel; those that are missing are zero, and so are missing columns.
    start, stop : int
        Which vectors of a plane to write.
    planes : (36 * panels * wide_rows * 16,)
    """
    step = -(-columns // WIDTH) * WIDTH * wide_rows
    taps = np.zeros(9 * LANES, np.float32)
    for vector in range(start, stop):
        row, column = vector // 2 % wide_rows, vector // (2 * wide_rows) * WIDTH + vector % 2 * LANES
        count = min(columns - column, LANES) if row < rows else 0
        if count < LANES:
            taps[:] = 0.0
        _gather(weight, row * row_step + column * column_step, tap_step, column_step, count, taps)
        a = _weight_line(load(taps, 0), load(taps, 3 * LANES), load(taps, 6 * LANES))
        b = _weight_line(load(taps, LANES), load(taps, 4 * LANES), load(taps, 7 * LANES))
        d = _weight_line(load(taps, 2 * LANES), load(taps, 5 * LANES), load(taps, 8 * LANES))
        at = vector * LANES
        store6(planes, at, step, _weight_line(a[0], b[0], d[0]))
        store6(planes, at + 6 * step, step, _weight_line(a[1], b[1], d[1]))
        store6(planes, at + 12 * step, step, _weight_line(a[2], b[2], d[2]))
        store6(planes, at + 18 * step, step, _weight_line(a[3], b[3], d[3]))
        store6(planes, at + 24 * step, step, _weight_line(a[4], b[4], d[4]))
        store6(planes, at + 30 * step, step, _weight_line(a[5], b[5], d[5]))


@inlined
def _gather(weight: Any, start: int, tap_step: int, column_step: int, count: int, taps: Any) -> None:
    for tap in range(9):
        first = start + tap * tap_step
        if column_step == 1 and count == LANES:
            store(taps, tap * LANES, load(weight, first))
        else:
            for lane in range(count):
                taps[tap * LANES + lane] = weight[first + lane * column_step]


@compiled
def planes_to_weight(planes: Any, step: int, start: int, stop: int, weight: Any, is_first: bool) -> None:
    """Gᵀ u G of the numbers [start, stop), whole vectors, of planes `step` apart; the first written, others added."""
    for at in range(start, stop, LANES):
        # A column of a tile is every sixth plane.
        a = _weight_line_adjoint(*load6(planes, at, 6 * step))
        b = _weight_line_adjoint(*load6(planes, at + step, 6 * step))
        d = _weight_line_adjoint(*load6(planes, at + 2 * step, 6 * step))
        e = _weight_line_adjoint(*load6(planes, at + 3 * step, 6 * step))
        f = _weight_line_adjoint(*load6(planes, at + 4 * step, 6 * step))
        g = _weight_line_adjoint(*load6(planes, at + 5 * step, 6 * step))
        if is_first:
            for tap in range(9):
                store(weight, at + tap * step, splat(0.0))
        _add3(weight, at, step, _weight_line_adjoint(a[0], b[0], d[0], e[0], f[0], g[0]))
        _add3(weight, at + 3 * step, step, _weight_line_adjoint(a[1], b[1], d[1], e[1], f[1], g[1]))
        _add3(weight, at + 6 * step, step, _weight_line_adjoint(a[2], b[2], d[2], e[2], f[2], g[2]))


@inlined
def _add3(weight: Any, to: int, step: int, values: Any) -> None:
    store(weight, to, load(weight, to) + values[0])
    store(weight, to + step, load(weight, to + step) + values[1])
    store(weight, to + 2 * step, load(weight, to + 2 * step) + values[2])
