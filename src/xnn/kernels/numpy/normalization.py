"""Twins of batch normalization: one pass for the statistics and one for y, and two more in the pullback.

A following activation is part of the passes; its derivative is computed again from x.

Each thread sums over its own rows: about a hundred at a time in float32, and those sums in float64. The first row is
subtracted from all numbers, so that a mean that is large compared with the variance does not swamp it.
"""

import math
from typing import Any

import numpy as np
from numba import types

from xnn import functional as F
from xnn._typing import Array, Gradients, Pullback
from xnn.functional.replicas import batch_rows, current, statistics_total
from xnn.kernels.numpy.activations import normal
from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.threads import as_slice, threads

_F = types.float32
_LEAST = 2**17
_ROWS = 128


def batch_norm_statistics(x: Array) -> tuple[Array, Array]:
    """As `xnn.functional.batch_norm_statistics`."""
    if not _is_plain(x):
        return F.batch_norm_statistics(x)
    x = np.ascontiguousarray(x)
    rows, parts = _rows(x)
    origin = rows[0].copy() if len(rows) else np.zeros(x.shape[-1], np.float32)

    def sums(part: range) -> Array:
        powers = np.zeros((2, len(origin)))
        _sum_powers(rows[part.start : part.stop], origin, powers)
        return powers

    first, second = _moments(sum(threads().run(sums, parts)), origin, x)
    return (origin + first).astype(np.float32), np.maximum(second - first * first, 0.0).astype(np.float32)


def _moments(sums: Array, origin: Array, x: Array) -> Array:
    """Return the mean of x - origin and of its square over the batch, of which other replicas may have a part."""
    if current() is None:
        return sums / (x.size // len(origin))
    # Each replica has an origin of its own, so they add up powers of x itself; float64 has digits enough for that.
    first, second = sums
    shift, count = origin.astype(np.float64), x.size // len(origin)
    powers = statistics_total(np.stack([first + count * shift, second + shift * (2.0 * first + count * shift)]))
    mean, square = powers / batch_rows(x)
    return np.stack([mean - shift, square - shift * (2.0 * mean - shift)])


def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    statistics: tuple[Array, Array] | None = None,
) -> tuple[Array, Pullback]:
    """As `xnn.functional.batch_norm`."""
    if not _is_plain(x, weight, bias):
        return F.batch_norm(x, weight, bias, eps, statistics)
    return _batch_norm(None, x, weight, bias, eps, statistics)


def batch_norm_relu(x: Array, norm: tuple[Any, ...], _: tuple[()]) -> tuple[Array, Pullback] | None:
    """As `batch_norm`, followed by ReLU."""
    return _batch_norm("relu", x, *norm) if _is_plain(x, *norm[:2]) else None


def batch_norm_gelu(x: Array, norm: tuple[Any, ...], gelu: tuple[str]) -> tuple[Array, Pullback] | None:
    """As `batch_norm`, followed by the exact GELU."""
    return _batch_norm("gelu", x, *norm) if gelu == ("none",) and _is_plain(x, *norm[:2]) else None


def _batch_norm(
    activation: str | None,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    statistics: tuple[Array, Array] | None,
) -> tuple[Array, Pullback]:
    x = np.ascontiguousarray(x)
    mean, variance = batch_norm_statistics(x) if statistics is None else statistics
    rows, parts = _rows(x)
    y, r, scale, shift = _normalize(activation, x, weight, bias, mean, variance, eps)

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dy_rows = np.ascontiguousarray(dy).reshape(rows.shape)
        # The gradient before the activation; without one, dy itself.
        dz_rows = dy_rows if activation is None else empty(x.shape).reshape(rows.shape)

        def sums(part: range) -> Array:
            products = np.zeros((2, len(mean)))
            _SUMS[activation](
                dy_rows[as_slice(part)], rows[as_slice(part)], mean, scale, shift, dz_rows[as_slice(part)], products
            )
            return products

        # Σ dy and Σ dy x̂, with dy before it is scaled by γ.
        own = sum(threads().run(sums, parts))
        own[1] *= r
        (plain, along), count = statistics_total(own), batch_rows(x)
        dx = None
        if needs[0]:
            dx_rows = dz_rows if activation is not None else empty(x.shape).reshape(rows.shape)
            dx = dx_rows.reshape(x.shape)
            # dx = scale dy - slope x + offset, which is scale (dy - mean(dy) - x̂ mean(dy x̂)).
            slope = (scale * r * along / count).astype(np.float32)
            offset = (slope * mean - scale * plain / count).astype(np.float32)
            threads().run(
                lambda part: _combine(
                    dz_rows[as_slice(part)], rows[as_slice(part)], scale, slope, offset, dx_rows[as_slice(part)]
                ),
                parts,
            )
        return (
            dx,
            own[1].astype(np.float32) if needs[1] and weight is not None else None,
            own[0].astype(np.float32) if needs[2] and bias is not None else None,
        )

    return y, pullback


def batch_norm_inference(
    x: Array, weight: Array | None, bias: Array | None, mean: Array, variance: Array, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """As `xnn.functional.batch_norm_inference`."""
    result = _batch_norm_inference(None, x, weight, bias, mean, variance, eps)
    return F.batch_norm_inference(x, weight, bias, mean, variance, eps) if result is None else result


def batch_norm_inference_relu(x: Array, norm: tuple[Any, ...], _: tuple[()]) -> tuple[Array, Pullback] | None:
    """As `batch_norm_inference`, followed by ReLU."""
    return _batch_norm_inference("relu", x, *norm)


def batch_norm_inference_gelu(x: Array, norm: tuple[Any, ...], gelu: tuple[str]) -> tuple[Array, Pullback] | None:
    """As `batch_norm_inference`, followed by the exact GELU."""
    return _batch_norm_inference("gelu", x, *norm) if gelu == ("none",) else None


def _batch_norm_inference(activation: str | None, x: Array, *norm: Any) -> tuple[Array, Pullback] | None:
    if not _is_plain(x, *norm[:4]):
        return None
    x = np.ascontiguousarray(x)
    y, _, _, _ = _normalize(activation, x, *norm)

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        # Rarely called, so training through fixed statistics uses the reference's arithmetic.
        z, reference = F.batch_norm_inference(x, *norm)
        dz = dy if activation is None else getattr(F, activation)(z)[1](dy)
        gradients: Gradients = reference(dz, needs)
        return gradients

    return y, pullback


def _normalize(
    activation: str | None, x: Array, weight: Array | None, bias: Array | None, mean: Array, variance: Array, eps: float
) -> tuple[Array, Array, Array, Array]:
    """Return y, r = 1 / √(variance + ε), and each channel's factor and the number added after it."""
    r = 1.0 / np.sqrt(variance + np.float32(eps))
    scale = r if weight is None else weight * r
    shift = -mean * scale if bias is None else bias - mean * scale
    rows, parts = _rows(x)
    y = empty(x.shape)
    y_rows = y.reshape(rows.shape)
    threads().run(lambda part: _SCALES[activation](rows[as_slice(part)], scale, shift, y_rows[as_slice(part)]), parts)
    return y, r, scale, shift


def _is_plain(x: Array, *others: Array | None) -> bool:
    if x.ndim < 2 or x.dtype != np.float32:
        return False
    # All replicas have to take part in the same sums: they decide by what they have in common, which neither the number
    # of images is, nor whether those of a view lie in one piece.
    fits = 0 not in x.shape[1:] if current() is not None else x.size > 0 and x.flags.c_contiguous
    if not fits:
        return False
    return all(a is None or (a.dtype == np.float32 and a.shape == x.shape[-1:]) for a in others)


def _rows(x: Array) -> tuple[Array, list[range]]:
    """Return x as rows of channels, and the threads' parts of them."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return rows, threads().parts(len(rows), _LEAST // x.shape[-1] + 1)


@compiled
def _sum_powers(rows: Any, origin: Any, total: Any) -> None:
    count, channels = rows.shape
    first, second = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for start in range(0, count, _ROWS):
        first[:] = 0.0
        second[:] = 0.0
        for row in range(start, min(start + _ROWS, count)):
            for c in range(channels):
                d = rows[row, c] - origin[c]
                first[c] += d
                second[c] += d * d
        for c in range(channels):
            total[0, c] += first[c]
            total[1, c] += second[c]


@compiled
def _scale(rows: Any, scale: Any, shift: Any, y: Any) -> None:
    count, channels = rows.shape
    for row in range(count):
        for c in range(channels):
            y[row, c] = rows[row, c] * scale[c] + shift[c]


@compiled
def _scale_relu(rows: Any, scale: Any, shift: Any, y: Any) -> None:
    count, channels = rows.shape
    for row in range(count):
        for c in range(channels):
            z = rows[row, c] * scale[c] + shift[c]
            # In this form NaN stays NaN.
            y[row, c] = _F(0.0) if z <= _F(0.0) else z


@compiled
def _scale_gelu(rows: Any, scale: Any, shift: Any, y: Any) -> None:
    count, channels = rows.shape
    for row in range(count):
        for c in range(channels):
            z = rows[row, c] * scale[c] + shift[c]
            cdf, _ = normal(z)
            y[row, c] = z * cdf


@compiled
def _sums(dy: Any, rows: Any, mean: Any, scale: Any, shift: Any, dz: Any, total: Any) -> None:
    """Σ dy and Σ dy (x - mean); there is no activation, and dz is dy."""
    _add_sums(dy, rows, mean, 0, len(dy), total)


@compiled
def _sums_relu(dy: Any, rows: Any, mean: Any, scale: Any, shift: Any, dz: Any, total: Any) -> None:
    """Write dz = f'(z) dy, and add Σ dz and Σ dz (x - mean)."""
    count, channels = rows.shape
    for start in range(0, count, _ROWS):
        stop = min(start + _ROWS, count)
        for row in range(start, stop):
            for c in range(channels):
                z = rows[row, c] * scale[c] + shift[c]
                dz[row, c] = dy[row, c] if z > _F(0.0) else _F(0.0)
        _add_sums(dz, rows, mean, start, stop, total)


@compiled
def _sums_gelu(dy: Any, rows: Any, mean: Any, scale: Any, shift: Any, dz: Any, total: Any) -> None:
    """As `_sums_relu`."""
    count, channels = rows.shape
    for start in range(0, count, _ROWS):
        stop = min(start + _ROWS, count)
        for row in range(start, stop):
            for c in range(channels):
                z = rows[row, c] * scale[c] + shift[c]
                cdf, density = normal(z)
                dz[row, c] = dy[row, c] * (cdf + z * density)
        _add_sums(dz, rows, mean, start, stop, total)


@inlined
def _add_sums(dz: Any, rows: Any, mean: Any, first: int, last: int, total: Any) -> None:
    channels = rows.shape[1]
    plain, along = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for start in range(first, last, _ROWS):
        plain[:] = 0.0
        along[:] = 0.0
        for row in range(start, min(start + _ROWS, last)):
            for c in range(channels):
                plain[c] += dz[row, c]
                along[c] += dz[row, c] * (rows[row, c] - mean[c])
        for c in range(channels):
            total[0, c] += plain[c]
            total[1, c] += along[c]


@compiled
def _combine(dy: Any, rows: Any, scale: Any, slope: Any, offset: Any, dx: Any) -> None:
    count, channels = rows.shape
    for row in range(count):
        for c in range(channels):
            dx[row, c] = scale[c] * dy[row, c] - slope[c] * rows[row, c] + offset[c]


_SCALES = {None: _scale, "relu": _scale_relu, "gelu": _scale_gelu}
_SUMS = {None: _sums, "relu": _sums_relu, "gelu": _sums_gelu}
