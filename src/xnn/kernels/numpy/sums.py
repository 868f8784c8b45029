"""Sums over rows, as for the gradient of a bias."""

from typing import Any

import numpy as np

from xnn._typing import Array
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.threads import threads

_LEAST = 2**17
_ROWS = 128


def sum_rows(rows: Array, out: Array | None = None) -> Array:
    """Return the sum of the rows of (n, c): about a hundred at a time in float32, and those sums in float64."""
    pool = threads()

    def add(part: range) -> Array:
        total = np.zeros(rows.shape[1])
        _add_rows(rows[part.start : part.stop], total)
        return total

    totals = pool.run(add, pool.parts(len(rows), _LEAST // max(rows.shape[1], 1) + 1))
    result = np.empty(rows.shape[1], np.float32) if out is None else out
    result[...] = sum(totals)
    return result


@compiled
def _add_rows(rows: Any, total: Any) -> None:
    count, channels = rows.shape
    block = np.empty(channels, np.float32)
    for start in range(0, count, _ROWS):
        block[:] = 0.0
        for row in range(start, min(start + _ROWS, count)):
            for c in range(channels):
                block[c] += rows[row, c]
        for c in range(channels):
            total[c] += block[c]
