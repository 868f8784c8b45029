"""Telling the system in which order a mapped file will be read."""

import contextlib
import mmap
import os

import numpy as np

from xnn.data.splits import HostArray

_SHARE = 1 / 8
"""Share of the machine's memory. A smaller file is soon cached as a whole, and reading ahead speeds that up."""

_PAGES = 4
"""Most pages of one image: a larger image itself profits from reading ahead."""


def expect_order(array: HostArray, *, random: bool) -> None:
    """Advise the system not to read ahead in a large mapped file, if its entries will be read in random order.

    By default the first access to an image also reads what follows in the file, often 32 pages, most of which are
    dropped again before a shuffled epoch gets to them. If the system takes no such advice, nothing changes. The advice
    holds for the whole file until the next advice.
    """
    mapped = _mapping(array)
    if mapped is None or not hasattr(mmap, "MADV_RANDOM"):
        return
    memory = mmap.PAGESIZE * os.sysconf("SC_PHYS_PAGES")
    if len(mapped) > _SHARE * memory and array.nbytes <= _PAGES * mmap.PAGESIZE * len(array):
        with contextlib.suppress(OSError):
            mapped.madvise(mmap.MADV_RANDOM if random else mmap.MADV_NORMAL)


def _mapping(array: HostArray) -> mmap.mmap | None:
    """Return the mapped file that an array is a view of."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    return owner if isinstance(owner, mmap.mmap) else None
