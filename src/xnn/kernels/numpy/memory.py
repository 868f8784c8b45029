"""Float32 arrays whose memory is reused once nobody holds them.

A step makes the same large arrays as the step before. Asking the system for them again means a page fault for each 4096
bytes, which costs more than the pass that fills them. `empty` therefore hands out memory from a stock. The memory comes
back when the last array that shares it is gone, just when NumPy would free it: whoever keeps an array keeps its memory.

The memory begins at the start of a cache line; see `xnn.memory`.
"""

import bisect
import math
from typing import Any

import numpy as np

from xnn._typing import Array
from xnn.memory import aligned

_LEAST_BYTES = 2**16
"""Below this size, the allocator is fast enough."""

_MOST_WASTE = 1.25
"""How many times larger than requested memory may be."""

_stock: dict[int, list[Array]] = {}
_sizes: list[int] = []
"""All sizes that have ever been in the stock, in order."""


class _Loan:
    """An object that NumPy treats as the memory's owner; when it dies, the memory goes back to the stock."""

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
    """Return memory of `size` bytes or a little more: the smallest piece in stock that fits, or else a new one."""
    for position in range(bisect.bisect_left(_sizes, size), len(_sizes)):
        if _sizes[position] > _MOST_WASTE * size:
            break
        try:
            return _stock[_sizes[position]].pop()
        except IndexError:
            continue
    if size not in _stock:
        # In this order, since another thread may look meanwhile. If it does the same at the same time, a size is added
        # twice, which does no harm.
        _stock.setdefault(size, [])
        bisect.insort(_sizes, size)
    return aligned(size)


def release() -> None:
    """Return the stock, that is, all memory that is not on loan, to the system."""
    for memory in list(_stock.values()):
        memory.clear()
