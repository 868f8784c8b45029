"""Twins of what else `xnn.optim` does to flat vectors: averaging weights and clipping gradients."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types

from xnn._typing import Array
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.simd import LANES, load, splat, store
from xnn.kernels.numpy.threads import threads

_F = types.float32
_LEAST = 2**18
_BLOCK = 4096
"""Numbers whose squares are summed in float32; a multiple of what four vectors hold."""


def move_average(average: Array, weights: Array, rate: float) -> None:
    """Change `average` to ``average + rate (weights - average)``, with the same bits as the reference."""
    factor = np.float32(rate)
    threads().spread(lambda a, w: _move(a, w, factor), (average, weights), _LEAST)


def clip_norm(gradients: Sequence[Array], max_norm: float) -> Array:
    """As `xnn.optim.clip_gradient_norm`, for runs of a flat vector, which are only read if the norm is small enough."""
    pool = threads()
    squares = 0.0
    for gradient in gradients:
        squares += sum(pool.run(_squares_of(gradient), pool.parts(gradient.size, _LEAST)))
    bound, norm = np.float32(max_norm), np.float32(math.sqrt(squares))
    # Not `norm > bound`: a norm of NaN has to make the gradients NaN too.
    if not norm <= bound:
        factor = bound / norm
        for gradient in gradients:
            pool.spread(lambda g: _scale(g, factor), (gradient,), _LEAST)
    return np.asarray(norm)


def _squares_of(gradient: Array) -> Any:
    return lambda part: _sum_squares(gradient[part.start : part.stop])


@compiled
def _move(average: Any, weights: Any, rate: Any) -> None:
    for i in range(average.size):
        average[i] += (weights[i] - average[i]) * rate


@compiled
def _scale(vector: Any, factor: Any) -> None:
    for i in range(vector.size):
        vector[i] *= factor


@compiled
def _sum_squares(vector: Any) -> float:
    """Sum the squares: within a block in float32, in four registers, then the blocks' sums in float64."""
    total = 0.0
    sums = np.empty(4 * LANES, np.float32)
    whole = vector.size - vector.size % (4 * LANES)
    for start in range(0, whole, _BLOCK):
        a = b = c = d = splat(_F(0.0))
        for i in range(start, min(start + _BLOCK, whole), 4 * LANES):
            e, f = load(vector, i), load(vector, i + LANES)
            g, h = load(vector, i + 2 * LANES), load(vector, i + 3 * LANES)
            a, b, c, d = a + e * e, b + f * f, c + g * g, d + h * h
        store(sums, 0, a)
        store(sums, LANES, b)
        store(sums, 2 * LANES, c)
        store(sums, 3 * LANES, d)
        for lane in range(4 * LANES):
            total += sums[lane]
    for i in range(whole, vector.size):
        total += vector[i] * vector[i]
    return total
