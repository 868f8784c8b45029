"""Float32 arrays whose memory is used again once nobody holds them.

A step makes the same large arrays as the step before. Asking the system for them anew means a page fault for each 4096
bytes, which costs more than the pass that fills them. `empty` therefore hands out memory from a stock, and it comes
back when the last array that shares it is gone, as NumPy itself would free it: whoever keeps an array keeps its memory.

It begins with a line of the cache. NumPy's large arrays begin 16 bytes after one, and then every other vector of eight
numbers, and each of sixteen, lies in two lines, which a processor reads and writes one after the other.
"""

import bisect
import math
from typing import Any

import numpy as np

from xnn._typing import Array

LINE = 64
"""Bytes of a line of the cache."""

_LEAST_BYTES = 2**16
"""Below, the allocator is fast enough."""

_MOST_WASTE = 1.25
"""How much larger than asked for memory may be."""

_stock: dict[int, list[Array]] = {}
_sizes: list[int] = []
"""All sizes that have ever been in the stock, in order."""


class _Loan:
    """What NumPy takes for the owner of memory, which goes back to the stock when it dies."""

    __slots__ = ("__array_interface__", "_memory")

    def __init__(self, memory: Array) -> None:
        self._memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        _stock[self._memory.size].append(self._memory)


def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    """Return an array with whatever numbers its memory held, as `np.empty` does."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _LEAST_BYTES:
        return np.empty(shape, dtype)
    return np.asarray(_Loan(_take(size)))[:size].view(dtype).reshape(shape)


def _take(size: int) -> Array:
    """Return memory of so many bytes or a little more: the smallest in stock, or else new."""
    for position in range(bisect.bisect_left(_sizes, size), len(_sizes)):
        if _sizes[position] > _MOST_WASTE * size:
            break
        try:
            return _stock[_sizes[position]].pop()
        except IndexError:
            continue
    if size not in _stock:
        # In this order: another thread may look meanwhile. If it does the same at once, a size is added twice, which
        # does no harm.
        _stock.setdefault(size, [])
        bisect.insort(_sizes, size)
    return aligned(size)


def aligned(size: int) -> Array:
    """Return new memory of so many bytes, from the beginning of a line."""
    memory = np.empty(size + LINE, np.uint8)
    start = -address(memory) % LINE
    return memory[start : start + size]


def address(array: Array) -> int:
    """Return where an array's first number lies in memory."""
    place: int = array.__array_interface__["data"][0]
    return place


def release() -> None:
    """Give the stock, all memory that is not on loan, back to the system."""
    for memory in list(_stock.values()):
        memory.clear()
