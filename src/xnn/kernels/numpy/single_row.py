"""A weight and one row: their product, the update by a gradient of rank one, and both in one pass.

In training image by image each of the two reads the whole weight, which no fast cache holds. Where the next image is
known, its product is made of the rows that the update has just computed, so that they are read once.
"""

from typing import Any

import numpy as np

from xnn._typing import Array
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.memory import LINE, address, empty
from xnn.kernels.numpy.simd import LANES, load, load_splat, splat, store
from xnn.kernels.numpy.threads import as_slice, threads

LEAST = 2**18
"""Fewest numbers of a weight that are worth waking a thread for."""

# A processor compares the lower twelve bits of addresses first, and a load waits for a store that may be to the same
# place. Rows of 1024 numbers all begin at the same ones, so the two vectors that go with them keep away from those.
_PAGE = 4096
_SUMS, _FACTORS = 2048, 1024


def suits(row: Array, weight: Array) -> bool:
    """Whether `product` is for an array, as a row, and a weight; for a narrow weight BLAS is faster."""
    fits = row.size == len(weight) and weight.shape[1] >= LANES
    return bool(fits and row.dtype == np.float32 and row.flags.c_contiguous and weight.flags.c_contiguous)


def is_same(row: Array, other: Array) -> bool:
    """Whether two contiguous arrays are views of the same numbers in memory."""
    return address(row) == address(other) and row.nbytes == other.nbytes


def product(row: Array, weight: Array) -> Array:
    """Return ``row weight``, (1, m), for a vector of n numbers and a weight (n, m) that `suits` says yes to."""
    parts = _parts(weight)
    sums = _beside(weight, _SUMS, len(parts))

    def multiply(number: int) -> None:
        own = parts[number]
        _multiply(weight[own].reshape(-1), row[own], sums[number])

    threads().run(multiply, range(len(parts)))
    return _total(sums)


def update(weight: Array, left: Array, right: Array, lr: float, decay: float, ahead: Array | None) -> Array | None:
    """Subtract ``lr (left[i] right[j] + decay weight[i, j])`` from a contiguous weight.

    Returns `product` of the vector `ahead` and the updated weight, bit for bit; None where there is no such vector.
    """
    rate, factor, parts = np.float32(lr), np.float32(decay), _parts(weight)
    sums = None if ahead is None else _beside(weight, _SUMS, len(parts))
    (factors,) = _beside(weight, _FACTORS, 1)
    factors[:] = right

    def step(number: int) -> None:
        own = parts[number]
        row, y = (None, None) if ahead is None or sums is None else (ahead[own], sums[number])
        _update(weight[own].reshape(-1), left[own], factors, rate, factor, row, y)

    threads().run(step, range(len(parts)))
    return None if sums is None else _total(sums)


def _parts(weight: Array) -> list[slice]:
    """Return each thread's rows, the same ones in each pass: so sums over all come out the same bit for bit."""
    rows, columns = weight.shape
    return [as_slice(part) for part in threads().parts(rows, -(-LEAST // columns))]


def _beside(weight: Array, offset: int, count: int) -> list[Array]:
    """Return vectors as long as a weight's rows, each `offset` bytes and whole pages away from one, in whole lines."""
    length = 4 * weight.shape[1]
    step = -(-length // _PAGE) * _PAGE
    memory = empty((count * step + _PAGE,), np.uint8)
    wanted = (address(weight) + offset) // LINE * LINE
    starts = range((wanted - address(memory)) % _PAGE, count * step, step)
    return [memory[start : start + length].view(np.float32) for start in starts]


def _total(sums: list[Array]) -> Array:
    """Return the sum of the threads' sums, (1, m), in the memory of the first."""
    for other in sums[1:]:
        sums[0] += other
    return sums[0].reshape(1, -1)


# In both kernels the rows are added to y one after another, so that it has the same bits.


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


@compiled
def _update(weight: Any, left: Any, right: Any, lr: Any, decay: Any, row: Any, y: Any) -> None:
    """Numba leaves out what is for `row` where it is None."""
    columns = right.size
    whole = columns - columns % LANES
    rate, factor = splat(lr), splat(decay)
    if row is not None:
        y[:] = 0
    for i in range(left.size):
        start, f = i * columns, load_splat(left, i)
        if row is not None:
            x = load_splat(row, i)
        for j in range(0, whole, LANES):
            w = load(weight, start + j)
            w = w - rate * (f * load(right, j) + factor * w)
            store(weight, start + j, w)
            if row is not None:
                store(y, j, load(y, j) + x * w)
        for j in range(whole, columns):
            weight[start + j] -= lr * (left[i] * right[j] + decay * weight[start + j])
            if row is not None:
                y[j] += row[i] * weight[start + j]
