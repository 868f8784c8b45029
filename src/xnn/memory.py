"""The host's memory: how much there is, and arrays that begin at the start of a cache line.

NumPy's large arrays begin 16 bytes after a line's start; then every other vector of eight float32 numbers, and each of
sixteen, lies in two lines, which a processor reads and writes one after the other.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from xnn._typing import Array

LINE = 64
"""Bytes in a cache line."""


def aligned(size: int, make: Callable[[int, type], Array] = np.empty) -> Array:
    """Return new memory of `size` bytes that begins at the start of a cache line.

    Parameters
    ----------
    size : int
    make : callable
        Makes memory of a length and dtype: `numpy.empty` or `numpy.zeros`.
    """
    memory = make(size + LINE, np.uint8)
    start = -address(memory) % LINE
    return memory[start : start + size]


def address(array: Array) -> int:
    """Return the memory address of a NumPy array's first number."""
    place: int = array.__array_interface__["data"][0]
    return place


def free_memory() -> int | None:
    """Return the bytes available without swapping (Linux), or all that the machine has (macOS); None elsewhere."""
    with suppress(OSError):  # not Linux
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    return total_memory()


def total_memory() -> int | None:
    """Return the bytes of memory that the machine has (Linux, macOS); None elsewhere."""
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
