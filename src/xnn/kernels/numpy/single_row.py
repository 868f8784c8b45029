"""The product of one row and a weight, as in training image by image; it reads each number of the weight once."""

from typing import Any

import numpy as np

from xnn._typing import Array
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.simd import LANES, load, load_splat, store
from xnn.kernels.numpy.threads import as_slice, threads
from xnn.memory import LINE, address

LEAST = 2**18
"""Fewest numbers of a weight that are worth waking a thread for."""

# A processor compares the lower twelve bits of addresses first, and a load waits for a store that may be to the same
# place. Rows of 1024 numbers all have the same lower bits, so the sums are kept at addresses whose lower bits differ.
_PAGE = 4096
_AWAY = 2048


def suits(row: Array, weight: Array) -> bool:
    """Whether `product` takes this row and this weight; for a narrow weight BLAS is faster."""
    fits = row.size == len(weight) and weight.shape[1] >= LANES
    return bool(fits and row.dtype == np.float32 and row.flags.c_contiguous and weight.flags.c_contiguous)


def product(row: Array, weight: Array) -> Array:
    """Return ``row weight``, (1, m), for a vector (n,) and a weight (n, m) that `suits` accepts."""
    rows, columns = weight.shape
    parts = threads().parts(rows, -(-LEAST // columns))
    sums = _beside(weight, len(parts))

    def multiply(number: int) -> None:
        own = as_slice(parts[number])
        _multiply(weight[own].reshape(-1), row[own], sums[number])

    threads().run(multiply, range(len(parts)))
    for other in sums[1:]:
        sums[0] += other
    return sums[0].reshape(1, -1)


def _beside(weight: Array, count: int) -> list[Array]:
    """Return vectors as long as a weight's rows, aligned to lines, half a page from the weight modulo a page."""
    length = 4 * weight.shape[1]
    step = -(-length // _PAGE) * _PAGE
    memory = empty((count * step + _PAGE,), np.uint8)
    wanted = (address(weight) + _AWAY) // LINE * LINE
    starts = range((wanted - address(memory)) % _PAGE, count * step, step)
    return [memory[start : start + length].view(np.float32) for start in starts]


@compiled
def _multiply(weight: Any, row: Any, y: Any) -> None:
    columns = y.size
    whole, quads = columns - columns % LANES, row.size - row.size % 4
    y[:] = 0
    for i in range(0, quads, 4):
        a, b, c, d = load_splat(row, i), load_splat(row, i + 1), load_splat(row, i + 2), load_splat(row, i + 3)
        start = i * columns
        for j in range(0, whole, LANES):
            at = start + j
            v, w = load(weight, at), load(weight, at + columns)
            at += 2 * columns
            store(y, j, load(y, j) + a * v + b * w + c * load(weight, at) + d * load(weight, at + columns))
    for i in range(quads, row.size):
        x, start = load_splat(row, i), i * columns
        for j in range(0, whole, LANES):
            store(y, j, load(y, j) + x * load(weight, start + j))
    for i in range(row.size):
        for j in range(whole, columns):
            y[j] += row[i] * weight[i * columns + j]
