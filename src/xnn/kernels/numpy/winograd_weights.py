"""The linear maps of Winograd's algorithm for weights: G w Gᵀ, with a plane for each position, and its adjoint."""

from typing import Any

import numpy as np

from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.products import WIDTH
from xnn.kernels.numpy.simd import LANES, load, splat, store
from xnn.kernels.numpy.winograd_eight import HALFWAY, weight_line, weight_line_adjoint
from xnn.kernels.numpy.winograd_tiles import Tiling, load6, store6


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
def plane_step(wide_rows: int, columns: int) -> int:
    """Numbers from one plane of panels to the next."""
    # A map reads or writes all planes at once: if a power of two apart, they would fall on the same few cache lines.
    return -(-columns // WIDTH) * WIDTH * wide_rows + 2 * LANES


@compiled
def weight_to_planes(
    weight: Any, tap_step: int, rows: int, row_step: int, columns: int, column_step: int, wide_rows: int,
    start: int, stop: int, planes: Any, t: Tiling,
) -> None:  # fmt: skip
    """G w Gᵀ in a plane for each position, in panels of 16 columns; unused positions may be left out.

    Parameters
    ----------
    weight : (numbers,)
        Element (i, j) of a tap is ``weight[tap * tap_step + i * row_step + j * column_step]``.
    wide_rows : int
        Rows of a panel; missing rows and missing columns are zero.
    start, stop : int
        Which vectors of a plane to write.
    planes : (positions * plane_step,)
    """
    step = plane_step(wide_rows, columns)
    taps, half = np.zeros(9 * LANES, np.float32), np.empty(HALFWAY, np.float32)
    for vector in range(start, stop):
        row, column = vector // 2 % wide_rows, vector // (2 * wide_rows) * WIDTH + vector % 2 * LANES
        count = min(columns - column, LANES) if row < rows else 0
        if count < LANES:
            taps[:] = 0.0
        _gather(weight, row * row_step + column * column_step, tap_step, column_step, count, taps)
        at = vector * LANES
        if t.size == 8:
            for j in range(3):
                weight_line(taps, j * LANES, 3 * LANES, half, j * LANES, 3 * LANES, t.whole_rows > 0)
            for i in range(9 + int(t.whole_rows > 0)):
                weight_line(half, 3 * i * LANES, LANES, planes, at + 10 * i * step, step, t.whole_columns > 0)
            continue
        a = _weight_line(load(taps, 0), load(taps, 3 * LANES), load(taps, 6 * LANES))
        b = _weight_line(load(taps, LANES), load(taps, 4 * LANES), load(taps, 7 * LANES))
        d = _weight_line(load(taps, 2 * LANES), load(taps, 5 * LANES), load(taps, 8 * LANES))
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
def planes_to_weight(
    planes: Any, step: int, start: int, stop: int, t: Tiling, weight: Any, weight_step: int, is_first: bool
) -> None:
    """Gᵀ u G of the numbers [start, stop), whole vectors, of planes `step` apart, into taps `weight_step` apart.

    It is written if `is_first`, and added otherwise.
    """
    half = np.empty(HALFWAY, np.float32)
    for at in range(start, stop, LANES):
        if t.size == 8:
            is_high, is_wide, add = t.whole_rows > 0, t.whole_columns > 0, not is_first
            for j in range(9 + int(is_wide)):
                weight_line_adjoint(planes, at + j * step, 10 * step, half, j * LANES, 10 * LANES, is_high, False)
            for i in range(3):
                to = at + 3 * i * weight_step
                weight_line_adjoint(half, 10 * i * LANES, LANES, weight, to, weight_step, is_wide, add)
            continue
        # A column of a tile is every sixth plane.
        a = _weight_line_adjoint(*load6(planes, at, 6 * step))
        b = _weight_line_adjoint(*load6(planes, at + step, 6 * step))
        d = _weight_line_adjoint(*load6(planes, at + 2 * step, 6 * step))
        e = _weight_line_adjoint(*load6(planes, at + 3 * step, 6 * step))
        f = _weight_line_adjoint(*load6(planes, at + 4 * step, 6 * step))
        g = _weight_line_adjoint(*load6(planes, at + 5 * step, 6 * step))
        if is_first:
            for tap in range(9):
                store(weight, at + tap * weight_step, splat(0.0))
        _add3(weight, at, weight_step, _weight_line_adjoint(a[0], b[0], d[0], e[0], f[0], g[0]))
        _add3(weight, at + 3 * weight_step, weight_step, _weight_line_adjoint(a[1], b[1], d[1], e[1], f[1], g[1]))
        _add3(weight, at + 6 * weight_step, weight_step, _weight_line_adjoint(a[2], b[2], d[2], e[2], f[2], g[2]))


@inlined
def _add3(weight: Any, to: int, step: int, values: Any) -> None:
    store(weight, to, load(weight, to) + values[0])
    store(weight, to + step, load(weight, to + step) + values[1])
    store(weight, to + 2 * step, load(weight, to + 2 * step) + values[2])
