"""Twins of the work of `xnn.training.LossScaler`: one launch each for what happens before, within and after a step."""

from collections.abc import Sequence

import cupy
import numpy as np

from xnn._typing import Array
from xnn.kernels.cupy import tables
from xnn.kernels.cupy.launching import Kernel, counters, spread

_KEEP = Kernel("loss_scaling", "keep")
_UNSCALE = Kernel("loss_scaling", "unscale")
_SETTLE = Kernel("loss_scaling", "settle")


def keep_vectors(vectors: Sequence[Array], copies: Sequence[Array]) -> None:
    """Copy each vector to its copy."""
    table, count, total = tables.of_pairs(vectors, copies)
    if total:
        _KEEP.launch((), *spread(total), (table,), (), (count, total), moved=8 * total)


def unscale_gradients(gradients: Array, scale: Array) -> Array:
    """Divide the gradients by the scale and return whether all are finite."""
    finite, size = cupy.empty((), np.bool_), gradients.size
    writes = gradients, finite, counters()
    _UNSCALE.launch((), *spread(size), (scale, gradients), writes, (size,), moved=8 * size)
    return finite


def settle_step(
    finite: Array,
    vectors: Sequence[Array],
    copies: Sequence[Array],
    counts: tuple[Array, Array, Array],
    growth_steps: int,
    bounds: tuple[float, float],
) -> tuple[Array, ...]:
    """Undo a step that was not finite; return the next scale and counts, and whether no scale helps."""
    table, count, total = tables.of_pairs(vectors, copies)
    results = *[cupy.empty((), each.dtype) for each in counts], cupy.empty((), np.bool_)
    # As a rule the step was finite, and then no vector is read.
    moved = sum(each.itemsize for each in (finite, *counts, *results))
    numbers = count, total, growth_steps, *map(float, bounds)
    _SETTLE.launch((), *spread(total), (table, finite, *counts), results, numbers, moved=moved)
    return results
