"""Twins of what else is done to flat vectors: averaging weights, clipping gradients, and casting parameters."""

from collections.abc import Sequence

import cupy
import numpy as np

from xnn._typing import Array
from xnn.kernels.cupy import tables
from xnn.kernels.cupy.launching import Kernel, counters, spread

_MOVE = Kernel("flat_vectors", "move")
_NORM = Kernel("flat_vectors", "find_norm")
_CLIP = Kernel("flat_vectors", "clip")
_SUMS = 1024
"""Blocks that sum squares at most."""


def move_average(average: Array, weights: Array, rate: float) -> None:
    """Change `average` to ``average + rate (weights - average)``."""
    if average.size:
        _MOVE.launch((), *spread(average.size), (weights, average), (average,), (average.size, float(rate)))


def clip_norm(gradients: Sequence[Array], max_norm: float) -> Array:
    """As `xnn.optim.clip_gradient_norm`, for runs of a flat vector, which are only scaled if the norm is too large."""
    table, count, total = tables.of_slices(gradients)
    if not total:
        return cupy.zeros((), np.float32)
    grid, block = spread(total)
    blocks = min(grid[0], _SUMS)
    sums, norm, first = cupy.empty(blocks, np.float32), cupy.empty((), np.float32), gradients[0]
    _NORM.launch((), (blocks,), block, (table, first), (sums, norm, counters()), (count, total), moved=4 * total)
    # As a rule the norm is within the bound, and then nothing else is read.
    numbers = count, total, float(max_norm)
    _CLIP.launch((), grid, block, (table, norm, first), (first,), numbers, moved=norm.nbytes)
    return norm


def cast_vector(vector: Array, place: Array) -> None:
    """Write a vector to another one of any type."""
    place[...] = vector
