"""Products of matrices whose left one is gathered: the building blocks of convolutions and affine maps.

A tile of the result, six rows by two vectors, stays in twelve registers while the terms of its sums are added. Each row
of the left matrix is a place in memory from which several runs of numbers are read, so the windows of a convolution are
rows without being copied. The right matrix is in panels: two vectors of its columns, row by row, with zeros for missing
ones, so that a term takes two loads, six broadcasts and twelve multiply-adds.

Numba compiles a function again for each literal it is called with, so compiled callers pass numbers as `np.int64`.
"""

from typing import Any

import numpy as np

from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.simd import LANES, load, load_splat, prefetch, splat, store, store_some

ROWS = 6
NARROW_ROWS = 8
"""Rows of one vector each. A sum's next term waits some four cycles for the one before, and two begin per cycle."""

WIDTH = 2 * LANES


def panels(columns: int) -> int:
    """Return how many panels that many columns make."""
    return -(-columns // WIDTH)


@compiled
def pack(matrix: Any, start: int, step: int, rows: int, columns: int, packed: Any) -> None:
    """Write the panels of a matrix whose element (i, j) is ``matrix[start + i * step + j]``."""
    whole = columns // WIDTH * WIDTH
    for i in range(rows):
        at = start + i * step
        for j in range(0, whole, WIDTH):
            to = j * rows + i * WIDTH
            store(packed, to, load(matrix, at + j))
            store(packed, to + LANES, load(matrix, at + j + LANES))
        if whole < columns:
            _pack_last(matrix, at + whole, columns - whole, packed, whole * rows + i * WIDTH)


@inlined
def _pack_last(matrix: Any, at: int, count: int, packed: Any, to: int) -> None:
    """Write a row of an incomplete panel, with zeros for the missing columns."""
    first = splat(np.float32(0.0))
    copied = 0
    if count >= LANES:
        first, copied = load(matrix, at), LANES
    store(packed, to, first)
    store(packed, to + LANES, splat(np.float32(0.0)))
    for j in range(copied, count):
        packed[to + j] = matrix[at + j]


@compiled
def multiply(
    a: Any, start: int, at: Any, runs: Any, length: int, packed: Any, bias: Any, y: Any, y_start: int, to: Any,
    columns: int,
) -> None:  # fmt: skip
    """y = a b + bias.

    Parameters
    ----------
    a : (numbers,)
        Holds the rows: row m consists, for each r, of ``length`` numbers from ``start + at[m] + runs[r]`` on.
    packed : (panels * runs * length * WIDTH,)
    bias : (panels * WIDTH,)
    y : (numbers,)
        Row m of the result, (columns,), is written to ``y_start + to[m]``.
    """
    size = runs.size * length * WIDTH
    for k in range(0, columns, WIDTH):
        panel = k // WIDTH * size
        valid = min(columns - k, WIDTH)
        if valid > LANES:
            for m in range(0, at.size, ROWS):
                _tile(a, start, at, m, runs, length, packed, panel, bias, k, y, y_start + k, to, valid)
        else:
            for m in range(0, at.size, NARROW_ROWS):
                _narrow_tile(a, start, at, m, runs, length, packed, panel, bias, k, y, y_start + k, to, valid)


@compiled
def add_transposed(
    a: Any, start: int, rows: Any, at: Any, packed: Any, length: int, columns: int, y: Any, y_start: int, to: Any,
    is_first: bool,
) -> None:  # fmt: skip
    """y = aᵀ b if `is_first`, else y += aᵀ b.

    Parameters
    ----------
    a : (numbers,)
        Element (m, i) is ``a[start + rows[i] + at[m]]``.
    packed : (numbers,)
        The panels of b, which begin `length` rows apart.
    y : (numbers,)
        Row i of the result, in whole panels, is at ``y_start + to[i]``.
    """
    for k in range(0, columns, WIDTH):
        panel = k * length
        if columns - k > LANES:
            for i in range(0, rows.size, ROWS):
                _transposed_tile(a, start, rows, i, at, packed, panel, y, y_start + k, to, is_first)
        else:
            for i in range(0, rows.size, NARROW_ROWS):
                _narrow_transposed_tile(a, start, rows, i, at, packed, panel, y, y_start + k, to, is_first)


@inlined
def _tile(
    a: Any, start: int, at: Any, m: int, runs: Any, length: int, packed: Any, panel: int, bias: Any, k: int,
    y: Any, y_start: int, to: Any, valid: int,
) -> None:  # fmt: skip
    # At the end the last row, computed and written again, stands in for missing ones.
    m1, m2, m3, m4, m5 = _next_rows(m, at.size - 1)
    for row in (m, m1, m2, m3, m4, m5):
        prefetch(y, y_start + to[row])
    left, right = load(bias, k), load(bias, k + LANES)
    c00 = c10 = c20 = c30 = c40 = c50 = left
    c01 = c11 = c21 = c31 = c41 = c51 = right
    for r in range(runs.size):
        base = start + runs[r]
        a0, a1, a2, a3, a4, a5 = base + at[m], base + at[m1], base + at[m2], base + at[m3], base + at[m4], base + at[m5]
        for t in range(length):
            left, right = load(packed, panel), load(packed, panel + LANES)
            panel += WIDTH
            x = load_splat(a, a0 + t)
            c00, c01 = c00 + x * left, c01 + x * right
            x = load_splat(a, a1 + t)
            c10, c11 = c10 + x * left, c11 + x * right
            x = load_splat(a, a2 + t)
            c20, c21 = c20 + x * left, c21 + x * right
            x = load_splat(a, a3 + t)
            c30, c31 = c30 + x * left, c31 + x * right
            x = load_splat(a, a4 + t)
            c40, c41 = c40 + x * left, c41 + x * right
            x = load_splat(a, a5 + t)
            c50, c51 = c50 + x * left, c51 + x * right
    _store_row(y, y_start + to[m], c00, c01, valid)
    _store_row(y, y_start + to[m1], c10, c11, valid)
    _store_row(y, y_start + to[m2], c20, c21, valid)
    _store_row(y, y_start + to[m3], c30, c31, valid)
    _store_row(y, y_start + to[m4], c40, c41, valid)
    _store_row(y, y_start + to[m5], c50, c51, valid)


@inlined
def _narrow_tile(
    a: Any, start: int, at: Any, m: int, runs: Any, length: int, packed: Any, panel: int, bias: Any, k: int,
    y: Any, y_start: int, to: Any, valid: int,
) -> None:  # fmt: skip
    """As `_tile`, for the columns of a single vector or fewer."""
    m1, m2, m3, m4, m5 = _next_rows(m, at.size - 1)
    m6, m7 = min(m + 6, at.size - 1), min(m + 7, at.size - 1)
    c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = load(bias, k)
    for r in range(runs.size):
        base = start + runs[r]
        a0, a1, a2, a3, a4, a5 = base + at[m], base + at[m1], base + at[m2], base + at[m3], base + at[m4], base + at[m5]
        a6, a7 = base + at[m6], base + at[m7]
        for t in range(length):
            left = load(packed, panel)
            panel += WIDTH
            c0, c1 = c0 + load_splat(a, a0 + t) * left, c1 + load_splat(a, a1 + t) * left
            c2, c3 = c2 + load_splat(a, a2 + t) * left, c3 + load_splat(a, a3 + t) * left
            c4, c5 = c4 + load_splat(a, a4 + t) * left, c5 + load_splat(a, a5 + t) * left
            c6, c7 = c6 + load_splat(a, a6 + t) * left, c7 + load_splat(a, a7 + t) * left
    store_some(y, y_start + to[m], c0, valid)
    store_some(y, y_start + to[m1], c1, valid)
    store_some(y, y_start + to[m2], c2, valid)
    store_some(y, y_start + to[m3], c3, valid)
    store_some(y, y_start + to[m4], c4, valid)
    store_some(y, y_start + to[m5], c5, valid)
    store_some(y, y_start + to[m6], c6, valid)
    store_some(y, y_start + to[m7], c7, valid)


@inlined
def _transposed_tile(
    a: Any, start: int, rows: Any, i: int, at: Any, packed: Any, panel: int, y: Any, y_start: int, to: Any,
    is_first: bool,
) -> None:  # fmt: skip
    i1, i2, i3, i4, i5 = _next_rows(i, rows.size - 1)
    for row in (i, i1, i2, i3, i4, i5):
        prefetch(y, y_start + to[row])
    c00 = c10 = c20 = c30 = c40 = c50 = splat(np.float32(0.0))
    c01 = c11 = c21 = c31 = c41 = c51 = splat(np.float32(0.0))
    a0, a1, a2 = start + rows[i], start + rows[i1], start + rows[i2]
    a3, a4, a5 = start + rows[i3], start + rows[i4], start + rows[i5]
    for m in range(at.size):
        left, right = load(packed, panel), load(packed, panel + LANES)
        panel += WIDTH
        t = at[m]
        x = load_splat(a, a0 + t)
        c00, c01 = c00 + x * left, c01 + x * right
        x = load_splat(a, a1 + t)
        c10, c11 = c10 + x * left, c11 + x * right
        x = load_splat(a, a2 + t)
        c20, c21 = c20 + x * left, c21 + x * right
        x = load_splat(a, a3 + t)
        c30, c31 = c30 + x * left, c31 + x * right
        x = load_splat(a, a4 + t)
        c40, c41 = c40 + x * left, c41 + x * right
        x = load_splat(a, a5 + t)
        c50, c51 = c50 + x * left, c51 + x * right
    y0, y1, y2 = y_start + to[i], y_start + to[i1], y_start + to[i2]
    y3, y4, y5 = y_start + to[i3], y_start + to[i4], y_start + to[i5]
    if not is_first:
        # Read all rows before writing any, since the last ones may be the same row.
        c00, c01 = _add_row(y, y0, c00, c01)
        c10, c11 = _add_row(y, y1, c10, c11)
        c20, c21 = _add_row(y, y2, c20, c21)
        c30, c31 = _add_row(y, y3, c30, c31)
        c40, c41 = _add_row(y, y4, c40, c41)
        c50, c51 = _add_row(y, y5, c50, c51)
    _store_row(y, y0, c00, c01, WIDTH)
    _store_row(y, y1, c10, c11, WIDTH)
    _store_row(y, y2, c20, c21, WIDTH)
    _store_row(y, y3, c30, c31, WIDTH)
    _store_row(y, y4, c40, c41, WIDTH)
    _store_row(y, y5, c50, c51, WIDTH)


@inlined
def _narrow_transposed_tile(
    a: Any, start: int, rows: Any, i: int, at: Any, packed: Any, panel: int, y: Any, y_start: int, to: Any,
    is_first: bool,
) -> None:  # fmt: skip
    """As `_transposed_tile`, for the columns of a single vector or fewer."""
    i1, i2, i3, i4, i5 = _next_rows(i, rows.size - 1)
    i6, i7 = min(i + 6, rows.size - 1), min(i + 7, rows.size - 1)
    c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = splat(np.float32(0.0))
    a0, a1, a2, a3 = start + rows[i], start + rows[i1], start + rows[i2], start + rows[i3]
    a4, a5, a6, a7 = start + rows[i4], start + rows[i5], start + rows[i6], start + rows[i7]
    for m in range(at.size):
        left, t = load(packed, panel), at[m]
        panel += WIDTH
        c0, c1 = c0 + load_splat(a, a0 + t) * left, c1 + load_splat(a, a1 + t) * left
        c2, c3 = c2 + load_splat(a, a2 + t) * left, c3 + load_splat(a, a3 + t) * left
        c4, c5 = c4 + load_splat(a, a4 + t) * left, c5 + load_splat(a, a5 + t) * left
        c6, c7 = c6 + load_splat(a, a6 + t) * left, c7 + load_splat(a, a7 + t) * left
    y0, y1, y2, y3 = y_start + to[i], y_start + to[i1], y_start + to[i2], y_start + to[i3]
    y4, y5, y6, y7 = y_start + to[i4], y_start + to[i5], y_start + to[i6], y_start + to[i7]
    if not is_first:
        c0, c1, c2, c3 = c0 + load(y, y0), c1 + load(y, y1), c2 + load(y, y2), c3 + load(y, y3)
        c4, c5, c6, c7 = c4 + load(y, y4), c5 + load(y, y5), c6 + load(y, y6), c7 + load(y, y7)
    zero = splat(np.float32(0.0))
    _store_row(y, y0, c0, zero, WIDTH)
    _store_row(y, y1, c1, zero, WIDTH)
    _store_row(y, y2, c2, zero, WIDTH)
    _store_row(y, y3, c3, zero, WIDTH)
    _store_row(y, y4, c4, zero, WIDTH)
    _store_row(y, y5, c5, zero, WIDTH)
    _store_row(y, y6, c6, zero, WIDTH)
    _store_row(y, y7, c7, zero, WIDTH)


@inlined
def _next_rows(m: int, last: int) -> Any:
    return min(m + 1, last), min(m + 2, last), min(m + 3, last), min(m + 4, last), min(m + 5, last)


@inlined
def _store_row(y: Any, at: int, left: Any, right: Any, valid: int) -> None:
    if valid == WIDTH:
        store(y, at, left)
        store(y, at + LANES, right)
    else:
        store_some(y, at, left, valid)
        store_some(y, at + LANES, right, valid - LANES)


@inlined
def _add_row(y: Any, at: int, left: Any, right: Any) -> Any:
    return load(y, at) + left, load(y, at + LANES) + right
