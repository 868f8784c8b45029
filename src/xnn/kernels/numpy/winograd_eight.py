"""The linear maps of Winograd's F(8x8, 3x3): ten positions for eight outputs, or nine for seven; see `winograd_tiles`.

The positions are the values of polynomials at 0, at ±p for four numbers p, and at infinity (A. Toom, S. Cook). With
f(s) = Π (s - p²) over all four, and f_p without the factor of p, an input line d is mapped, as a polynomial whose
coefficients are Bᵀ's, to::

    r_0 = Σ f[k] d[2k]                                r_∞ = Σ f[k] d[2k + 1]
    r_±p = Σ f_p[k] d[2k + 2] ± p Σ f_p[k] d[2k + 1]

outputs are y[i] = Σ_p pⁱ (m_p + (-1)ⁱ m_-p), plus m_0 for i = 0 and m_∞ for i = 7, and a weight's line becomes
u_±p = (w[0] ± p w[1] + p² w[2]) / (2 p² f_p(p²)), u_0 = w[0] / f(0), u_∞ = w[2]. So each pair shares its sums.

The size of the errors depends on the four numbers (B. Barabasz et al., "Error analysis and improving the accuracy of
Winograd convolution for deep neural networks", 2020). Of 1,890 sets of fractions tried, these are among the dozen best,
and exact in binary. A map first goes by columns into a tile in the nearest cache, and then by rows.
"""

from typing import Any

import numpy as np

from xnn.kernels.numpy.compiled import inlined
from xnn.kernels.numpy.products import WIDTH
from xnn.kernels.numpy.simd import LANES, load, splat, store
from xnn.kernels.numpy.winograd_tiles import Tiling, covered, place

POINTS = (0.375, 0.875, 1.25, 2.5)
HALFWAY = 100 * LANES
"""Numbers of a half-mapped tile for a vector of channels, at the end of the image's working memory."""


def _product(squares: tuple[float, ...]) -> tuple[float, ...]:
    """Return the coefficients of Π (s - square), constant first, without the last one, which is 1."""
    return tuple(float(c) for c in np.poly(squares)[:0:-1])


_SQUARES = tuple(p * p for p in POINTS)
_P, _Q, _R, _S = POINTS
_P2, _Q2, _R2, _S2 = _SQUARES
# Coefficients of f and of each f_p, and the factors for a weight's values at ±p and at 0.
_F0, _F1, _F2, _F3 = _product(_SQUARES)
(_P_0, _P_1, _P_2), (_Q_0, _Q_1, _Q_2), (_R_0, _R_1, _R_2), (_S_0, _S_1, _S_2) = (
    _product(_SQUARES[:k] + _SQUARES[k + 1 :]) for k in range(4)
)
_P_N, _Q_N, _R_N, _S_N = (1.0 / (2.0 * x * float(np.prod([x - y for y in _SQUARES if y != x]))) for x in _SQUARES)
_0_N = 1.0 / float(np.prod(_SQUARES))


@inlined
def _store_pair(target: Any, to: int, step: int, even: Any, odd: Any) -> None:
    store(target, to, even + odd)
    store(target, to + step, even - odd)


@inlined
def _sum3(a: Any, b: Any, d: Any, e: Any, x: float, y: float, z: float) -> Any:
    return splat(x) * a + splat(y) * b + splat(z) * d + e


@inlined
def _input_line(source: Any, at: int, step: int, target: Any, to: int, target_step: int, whole: bool) -> None:
    """Bᵀ d, one column: from ten vectors `step` apart to ten `target_step` apart, or nine to nine."""
    d0, d1, d2, d3 = load(source, at), load(source, at + step), load(source, at + 2 * step), load(source, at + 3 * step)
    d4, d5, d6 = load(source, at + 4 * step), load(source, at + 5 * step), load(source, at + 6 * step)
    d7, d8 = load(source, at + 7 * step), load(source, at + 8 * step)
    store(target, to, splat(_F0) * d0 + _sum3(d2, d4, d6, d8, _F1, _F2, _F3))
    even, odd = _sum3(d2, d4, d6, d8, _P_0, _P_1, _P_2), _sum3(d1, d3, d5, d7, _P_0, _P_1, _P_2)
    _store_pair(target, to + target_step, target_step, even, splat(_P) * odd)
    even, odd = _sum3(d2, d4, d6, d8, _Q_0, _Q_1, _Q_2), _sum3(d1, d3, d5, d7, _Q_0, _Q_1, _Q_2)
    _store_pair(target, to + 3 * target_step, target_step, even, splat(_Q) * odd)
    even, odd = _sum3(d2, d4, d6, d8, _R_0, _R_1, _R_2), _sum3(d1, d3, d5, d7, _R_0, _R_1, _R_2)
    _store_pair(target, to + 5 * target_step, target_step, even, splat(_R) * odd)
    even, odd = _sum3(d2, d4, d6, d8, _S_0, _S_1, _S_2), _sum3(d1, d3, d5, d7, _S_0, _S_1, _S_2)
    _store_pair(target, to + 7 * target_step, target_step, even, splat(_S) * odd)
    if whole:
        d9 = load(source, at + 9 * step)
        store(target, to + 9 * target_step, splat(_F0) * d1 + _sum3(d3, d5, d7, d9, _F1, _F2, _F3))


@inlined
def _load_pair(source: Any, at: int, step: int, p: float) -> Any:
    """Return r_p + r_-p, and p (r_p - r_-p)."""
    a, b = load(source, at), load(source, at + step)
    return a + b, splat(p) * (a - b)


@inlined
def _four(p: Any, q: Any, r: Any, s: Any, a: float, b: float, d: float, e: float) -> Any:
    return splat(a) * p + splat(b) * q + splat(d) * r + splat(e) * s


@inlined
def _input_line_adjoint(
    source: Any, at: int, step: int, target: Any, to: int, target_step: int, whole: bool, add: bool
) -> None:
    """B r, one column, written or added."""
    r0, r9 = load(source, at), _last(source, at + 9 * step, whole)
    p, dp = _load_pair(source, at + step, step, _P)
    q, dq = _load_pair(source, at + 3 * step, step, _Q)
    r, dr = _load_pair(source, at + 5 * step, step, _R)
    s, ds = _load_pair(source, at + 7 * step, step, _S)
    _put(target, to, splat(_F0) * r0, add)
    _put(target, to + target_step, splat(_F0) * r9 + _four(dp, dq, dr, ds, _P_0, _Q_0, _R_0, _S_0), add)
    _put(target, to + 2 * target_step, splat(_F1) * r0 + _four(p, q, r, s, _P_0, _Q_0, _R_0, _S_0), add)
    _put(target, to + 3 * target_step, splat(_F1) * r9 + _four(dp, dq, dr, ds, _P_1, _Q_1, _R_1, _S_1), add)
    _put(target, to + 4 * target_step, splat(_F2) * r0 + _four(p, q, r, s, _P_1, _Q_1, _R_1, _S_1), add)
    _put(target, to + 5 * target_step, splat(_F2) * r9 + _four(dp, dq, dr, ds, _P_2, _Q_2, _R_2, _S_2), add)
    _put(target, to + 6 * target_step, splat(_F3) * r0 + _four(p, q, r, s, _P_2, _Q_2, _R_2, _S_2), add)
    _put(target, to + 7 * target_step, splat(_F3) * r9 + (dp + dq) + (dr + ds), add)
    _put(target, to + 8 * target_step, r0 + (p + q) + (r + s), add)
    if whole:
        _put(target, to + 9 * target_step, r9, add)


@inlined
def _last(source: Any, at: int, whole: bool) -> Any:
    return load(source, at) if whole else splat(0.0)


@inlined
def _put(target: Any, to: int, value: Any, add: bool) -> None:
    store(target, to, load(target, to) + value if add else value)


@inlined
def _output_line(source: Any, at: int, step: int, target: Any, to: int, target_step: int) -> None:
    """Aᵀ m, one column: from ten vectors to eight."""
    m0, m9 = load(source, at), load(source, at + 9 * step)
    p, dp = _load_pair(source, at + step, step, _P)
    q, dq = _load_pair(source, at + 3 * step, step, _Q)
    r, dr = _load_pair(source, at + 5 * step, step, _R)
    s, ds = _load_pair(source, at + 7 * step, step, _S)
    store(target, to, m0 + (p + q) + (r + s))
    store(target, to + target_step, (dp + dq) + (dr + ds))
    store(target, to + 2 * target_step, _four(p, q, r, s, _P2, _Q2, _R2, _S2))
    store(target, to + 3 * target_step, _four(dp, dq, dr, ds, _P2, _Q2, _R2, _S2))
    store(target, to + 4 * target_step, _four(p, q, r, s, _P2**2, _Q2**2, _R2**2, _S2**2))
    store(target, to + 5 * target_step, _four(dp, dq, dr, ds, _P2**2, _Q2**2, _R2**2, _S2**2))
    store(target, to + 6 * target_step, _four(p, q, r, s, _P2**3, _Q2**3, _R2**3, _S2**3))
    store(target, to + 7 * target_step, m9 + _four(dp, dq, dr, ds, _P2**3, _Q2**3, _R2**3, _S2**3))


@inlined
def _output_line_adjoint(source: Any, at: int, step: int, target: Any, to: int, target_step: int, whole: bool) -> None:
    """A y, one column: from eight vectors to ten, or seven to nine."""
    y0, y1, y2, y3 = load(source, at), load(source, at + step), load(source, at + 2 * step), load(source, at + 3 * step)
    y4, y5, y6 = load(source, at + 4 * step), load(source, at + 5 * step), load(source, at + 6 * step)
    y7 = _last(source, at + 7 * step, whole)
    store(target, to, y0)
    even, odd = _sum3(y2, y4, y6, y0, _P2, _P2**2, _P2**3), _sum3(y3, y5, y7, y1, _P2, _P2**2, _P2**3)
    _store_pair(target, to + target_step, target_step, even, splat(_P) * odd)
    even, odd = _sum3(y2, y4, y6, y0, _Q2, _Q2**2, _Q2**3), _sum3(y3, y5, y7, y1, _Q2, _Q2**2, _Q2**3)
    _store_pair(target, to + 3 * target_step, target_step, even, splat(_Q) * odd)
    even, odd = _sum3(y2, y4, y6, y0, _R2, _R2**2, _R2**3), _sum3(y3, y5, y7, y1, _R2, _R2**2, _R2**3)
    _store_pair(target, to + 5 * target_step, target_step, even, splat(_R) * odd)
    even, odd = _sum3(y2, y4, y6, y0, _S2, _S2**2, _S2**3), _sum3(y3, y5, y7, y1, _S2, _S2**2, _S2**3)
    _store_pair(target, to + 7 * target_step, target_step, even, splat(_S) * odd)
    if whole:
        store(target, to + 9 * target_step, y7)


@inlined
def weight_line(source: Any, at: int, step: int, target: Any, to: int, target_step: int, whole: bool) -> None:
    """G w, one column: from three vectors to ten, or to nine."""
    w0, w1, w2 = load(source, at), load(source, at + step), load(source, at + 2 * step)
    store(target, to, splat(_0_N) * w0)
    _weight_pair(target, to + target_step, target_step, w0, w1, w2, _P, _P2, _P_N)
    _weight_pair(target, to + 3 * target_step, target_step, w0, w1, w2, _Q, _Q2, _Q_N)
    _weight_pair(target, to + 5 * target_step, target_step, w0, w1, w2, _R, _R2, _R_N)
    _weight_pair(target, to + 7 * target_step, target_step, w0, w1, w2, _S, _S2, _S_N)
    if whole:
        store(target, to + 9 * target_step, w2)


@inlined
def _weight_pair(target: Any, to: int, step: int, w0: Any, w1: Any, w2: Any, p: float, square: float, n: float) -> None:
    _store_pair(target, to, step, splat(n) * w0 + splat(n * square) * w2, splat(n * p) * w1)


@inlined
def weight_line_adjoint(
    source: Any, at: int, step: int, target: Any, to: int, target_step: int, whole: bool, add: bool
) -> None:
    """Gᵀ u, one column: from ten vectors, or nine, to three, written or added."""
    p, dp = _load_pair(source, at + step, step, _P)
    q, dq = _load_pair(source, at + 3 * step, step, _Q)
    r, dr = _load_pair(source, at + 5 * step, step, _R)
    s, ds = _load_pair(source, at + 7 * step, step, _S)
    _put(target, to, splat(_0_N) * load(source, at) + _four(p, q, r, s, _P_N, _Q_N, _R_N, _S_N), add)
    _put(target, to + target_step, _four(dp, dq, dr, ds, _P_N, _Q_N, _R_N, _S_N), add)
    wide = _four(p, q, r, s, _P_N * _P2, _Q_N * _Q2, _R_N * _R2, _S_N * _S2)
    _put(target, to + 2 * target_step, _last(source, at + 9 * step, whole) + wide, add)


@inlined
def transform_input(image: Any, t: Tiling, planes: Any, stride: int, order: Any, row: int, vector: int) -> None:
    """Bᵀ x B of each tile, from the image of all tiles into the tile's row of the planes."""
    channels, half = t.wide_inputs, image[image.size - HALFWAY :]
    line = covered(t, 10)[1] * channels
    for tile in range(t.rows * t.columns):
        corner, is_high, is_wide = place(tile, t, line, channels)
        for c in range(0, channels, LANES):
            for j in range(9 + int(is_wide)):
                _input_line(image, corner + j * channels + c, line, half, j * LANES, 10 * LANES, is_high)
            to = order[tile] * row + c // LANES * vector
            for i in range(9 + int(is_high)):
                _input_line(half, i * 10 * LANES, LANES, planes, to + 10 * i * stride, stride, is_wide)


@inlined
def transform_input_adjoint(planes: Any, stride: int, order: Any, t: Tiling, image: Any) -> None:
    """B d Bᵀ of each tile, from its row of the planes, added to the image of all tiles."""
    channels, half = t.wide_inputs, image[image.size - HALFWAY :]
    line = covered(t, 10)[1] * channels
    for tile in range(t.rows * t.columns):
        corner, is_high, is_wide = place(tile, t, line, channels)
        for c in range(0, channels, LANES):
            # A column of a tile is every tenth plane.
            at = order[tile] * channels + c
            for j in range(9 + int(is_wide)):
                _input_line_adjoint(planes, at + j * stride, 10 * stride, half, j * LANES, 10 * LANES, is_high, False)
            for i in range(9 + int(is_high)):
                _input_line_adjoint(half, i * 10 * LANES, LANES, image, corner + i * line + c, channels, is_wide, True)


@inlined
def transform_output(planes: Any, stride: int, order: Any, t: Tiling, image: Any) -> None:
    """Aᵀ m A of each tile, from its row of the planes into the image of all tiles."""
    channels, half = t.wide_outputs, image[image.size - HALFWAY :]
    line = covered(t, 8)[1] * channels
    for tile in range(t.rows * t.columns):
        corner, is_high, is_wide = place(tile, t, line, channels)
        for c in range(0, channels, LANES):
            at = order[tile] * channels + c
            for j in range(9 + int(is_wide)):
                _output_line(planes, at + j * stride, 10 * stride, half, j * LANES, 10 * LANES)
            for i in range(7 + int(is_high)):
                _output_line(half, i * 10 * LANES, LANES, image, corner + i * line + c, channels)


@inlined
def transform_output_adjoint(image: Any, t: Tiling, planes: Any, stride: int, order: Any, tiles: int) -> None:
    """A dy Aᵀ of each tile, from the image of all tiles into the tile's row, one of `tiles`, of the planes' panels."""
    channels, half = t.wide_outputs, image[image.size - HALFWAY :]
    line = covered(t, 8)[1] * channels
    for tile in range(t.rows * t.columns):
        # If a tile has seven pixels, the eighth belongs to the next tile.
        corner, is_high, is_wide = place(tile, t, line, channels)
        for c in range(0, channels, LANES):
            for j in range(8):
                _output_line_adjoint(image, corner + j * channels + c, line, half, j * LANES, 10 * LANES, is_high)
            to = (c // WIDTH * tiles + order[tile]) * WIDTH + c % WIDTH
            for i in range(9 + int(is_high)):
                _output_line_adjoint(half, i * 10 * LANES, LANES, planes, to + 10 * i * stride, stride, is_wide)
