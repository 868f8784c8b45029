"""The loops of `xnn.kernels.numpy.depthwise`, with a vector of channels at a time; arrays are one-dimensional."""

from typing import Any, NamedTuple

import numpy as np

from xnn._typing import Array
from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.simd import LANES, copy, load, store

_ZERO = np.float32(0.0)

SPARE = 4 * LANES
"""Numbers after a piece that serve as working memory."""

_TOGETHER = 9
"""Taps whose sums are in registers together."""


class Image(NamedTuple):
    """Images to read, (height, width, channels), which are padded a piece at a time.

    A piece is some lines of a padded image, with each channel `repeat` times: (rows, line, wide) at most.
    """

    height: int
    width: int
    channels: int
    repeat: int
    top: int
    left: int
    rows: int
    line: int
    wide: int


class Result(NamedTuple):
    """Images to write or, for the weight's gradient, to read beside `Image`: (height, width, channels).

    A phase has every (down, right)-th pixel; from one to the next the taps move by (by_rows, by_columns) pixels. A
    piece of the padded image covers `lines` of a phase's lines, and there are `pieces` of them.
    """

    height: int
    width: int
    channels: int
    down: int
    right: int
    by_rows: int
    by_columns: int
    lines: int
    pieces: int


class Taps(NamedTuple):
    """Phase f has the taps ``tap[bounds[f]:bounds[f + 1]]`` of the window; `at` is where each begins in a piece."""

    tap: Array
    at: Array
    bounds: Array


@inlined
def _fill(x: Any, n: int, first: int, g: Image, piece: Any) -> None:
    """Write the padded lines of image n, from `first` on, into the piece; its left and right margins stay zero."""
    for i in range(g.rows):
        target, row = (i * g.line + g.left) * g.wide, first + i - g.top
        source = (n * g.height + row) * g.width * g.channels
        if row < 0 or row >= g.height:
            for k in range(target, target + g.width * g.wide):
                piece[k] = _ZERO
        elif g.wide == g.channels:
            copy(x, source, piece, target, g.width * g.channels)
        elif g.repeat == 1:
            for j in range(g.width):
                copy(x, source + j * g.channels, piece, target + j * g.wide, g.channels)
        else:
            for j in range(g.width):
                for c in range(g.channels):
                    for k in range(g.repeat):
                        piece[target + j * g.wide + c * g.repeat + k] = x[source + j * g.channels + c]


@compiled
def correlate(
    start: int, stop: int, x: Any, g: Image, piece: Any, weight: Any, shift: Any, y: Any, r: Result, taps: Taps
) -> None:
    """Write the sum of what the taps see of the pieces from `start` to `stop`, each times its weight, plus `shift`."""
    all_taps, places, bounds = taps.tap, taps.at, taps.bounds
    for number in range(start, stop):
        n, first = number // r.pieces, number % r.pieces * r.lines
        _fill(x, n, first * r.by_rows, g, piece)
        for phase in range(r.down * r.right):
            a, b = phase // r.right, phase % r.right
            tap, at = all_taps[bounds[phase] : bounds[phase + 1]], places[bounds[phase] : bounds[phase + 1]]
            length = (r.width - 1 - b) // r.right + 1
            for p in range(min(r.lines, (r.height - 1 - a) // r.down + 1 - first)):
                row = p * r.by_rows * g.line * g.wide
                to = ((n * r.height + (first + p) * r.down + a) * r.width + b) * r.channels
                _line(piece, row, r.by_columns * g.wide, weight, shift, tap, at,
                      y, to, r.right * r.channels, length, r.channels, g.rows * g.line * g.wide)  # fmt: skip


@inlined
def _line(
    piece: Any, x: int, across: int, weight: Any, shift: Any, tap: Any, at: Any,
    y: Any, to: int, along: int, length: int, count: int, tail: int,
) -> None:  # fmt: skip
    """Write `length` pixels of `count` channels, four pixels at a time, repeating the last one if necessary.

    No function is called with an array in here, since each call would count the array's owners up and down.
    """
    size, last = weight.size // shift.size, length - 1
    for q in range(0, length, 4):
        q1, q2, q3 = min(q + 1, last), min(q + 2, last), min(q + 3, last)
        x0, x1, x2, x3 = x + q * across, x + q1 * across, x + q2 * across, x + q3 * across
        y0, y1, y2, y3 = to + q * along, to + q1 * along, to + q2 * along, to + q3 * along
        for c in range(0, count, LANES):
            s0 = s1 = s2 = s3 = load(shift, c)
            for t in range(tap.size):
                v, k = load(weight, c * size + tap[t] * LANES), at[t] + c
                s0, s1 = s0 + load(piece, x0 + k) * v, s1 + load(piece, x1 + k) * v
                s2, s3 = s2 + load(piece, x2 + k) * v, s3 + load(piece, x3 + k) * v
            if count - c >= LANES:
                store(y, y0 + c, s0)
                store(y, y1 + c, s1)
                store(y, y2 + c, s2)
                store(y, y3 + c, s3)
            else:
                store(piece, tail, s0)
                store(piece, tail + LANES, s1)
                store(piece, tail + 2 * LANES, s2)
                store(piece, tail + 3 * LANES, s3)
                for k in range(4):
                    copy(piece, tail + k * LANES, y, to + min(q + k, last) * along + c, count - c)


@compiled
def weight_gradient(start: int, stop: int, x: Any, g: Image, piece: Any, dy: Any, r: Result, taps: Taps) -> Any:
    """Return the sum over the pieces from `start` to `stop`, (vectors, taps, LANES), adding up each piece first."""
    at, count = taps.at, taps.at.size
    total = np.zeros(g.wide * count, np.float32)
    sums = np.empty(g.wide * count, np.float32)
    for number in range(start, stop):
        n, first = number // r.pieces, number % r.pieces * r.lines
        _fill(x, n, first * r.by_rows, g, piece)
        for k in range(sums.size):
            sums[k] = _ZERO
        for p in range(min(r.lines, r.height - first)):
            row, to = p * r.by_rows * g.line * g.wide, (n * r.height + first + p) * r.width * r.channels
            for c in range(0, r.channels, LANES):
                for t in range(0, count, _TOGETHER):
                    _add_line(piece, row + c, r.by_columns * g.wide, dy, to + c, r, at, t, sums, c * count)
        for k in range(total.size):
            total[k] += sums[k]
    return total


@inlined
def _add_line(
    piece: Any, x: int, across: int, dy: Any, to: int, r: Result, at: Any, t: int, sums: Any, place: int
) -> None:  # fmt: skip
    """Add what nine taps from t on see, times a line of dy; at the end the last tap stands in for missing ones."""
    last = at.size - 1
    t1, t2, t3, t4 = min(t + 1, last), min(t + 2, last), min(t + 3, last), min(t + 4, last)
    t5, t6, t7, t8 = min(t + 5, last), min(t + 6, last), min(t + 7, last), min(t + 8, last)
    x0, x1, x2, x3, x4 = x + at[t], x + at[t1], x + at[t2], x + at[t3], x + at[t4]
    x5, x6, x7, x8 = x + at[t5], x + at[t6], x + at[t7], x + at[t8]
    s0 = load(sums, place + t * LANES)
    s1, s2 = load(sums, place + t1 * LANES), load(sums, place + t2 * LANES)
    s3, s4 = load(sums, place + t3 * LANES), load(sums, place + t4 * LANES)
    s5, s6 = load(sums, place + t5 * LANES), load(sums, place + t6 * LANES)
    s7, s8 = load(sums, place + t7 * LANES), load(sums, place + t8 * LANES)
    for q in range(r.width):
        v, step = load(dy, to + q * r.channels), q * across
        s0 = s0 + load(piece, x0 + step) * v
        s1, s2 = s1 + load(piece, x1 + step) * v, s2 + load(piece, x2 + step) * v
        s3, s4 = s3 + load(piece, x3 + step) * v, s4 + load(piece, x4 + step) * v
        s5, s6 = s5 + load(piece, x5 + step) * v, s6 + load(piece, x6 + step) * v
        s7, s8 = s7 + load(piece, x7 + step) * v, s8 + load(piece, x8 + step) * v
    store(sums, place + t * LANES, s0)
    store(sums, place + t1 * LANES, s1)
    store(sums, place + t2 * LANES, s2)
    store(sums, place + t3 * LANES, s3)
    store(sums, place + t4 * LANES, s4)
    store(sums, place + t5 * LANES, s5)
    store(sums, place + t6 * LANES, s6)
    store(sums, place + t7 * LANES, s7)
    store(sums, place + t8 * LANES, s8)
