"""Telling the system in which order a mapped file will be read."""

import contextlib
import mmap
import os

import numpy as np

from xnn.data.splits import HostArray

_SHARE = 1 / 8
"""Share of the machine's memory. A smaller file is soon cached as a whole, and the sooner for reading ahead."""

_PAGES = 4
"""Most pages of one image: a larger one profits from reading ahead itself."""


def expect_order(array: HostArray, *, random: bool) -> None:
    """Have the system read no more of a large mapped file than is asked for, if its entries will come in random order.

    By default a first look at an image brings in what follows in the file, often 32 pages, most of which are dropped
    again before their turn comes in a shuffled epoch. Where the system takes no such advice, nothing changes. The
    advice is for the whole file until another is given.
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
