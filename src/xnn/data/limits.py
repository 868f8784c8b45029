"""How much data may come out of a file, so that a small file cannot take all memory or hours of time.

One rule holds for everything packed, both compressed arrays and pictures: 64 MiB may come out, or a hundred times the
packed size if that is more. Real data stays far below: handwritten digits shrink to a fifth, photographs to a
twentieth, drawings to a fiftieth. Zeros, which bombs are made of, shrink to a thousandth. So do segmentation masks, but
they are small: all the pictures of a folder together may be 256 MiB, or a hundred times their packed size.
"""

import os
from contextlib import suppress
from pathlib import Path

from xnn.errors import DataError

FREELY = 2**26
FREELY_IN_A_FOLDER = 2**28
_TIMES = 100
MOST_AXES = 64
"""The most that a NumPy array may have."""


def most_unpacked(packed: int, freely: int = FREELY) -> int:
    """Return how many bytes may come out of `packed` bytes."""
    return max(freely, _TIMES * packed)


def check_unpacked(size: int, packed: int, where: str, *, freely: int = FREELY) -> None:
    """Raise a DataError that names `where` if `size` bytes are too many to come out of `packed` ones.

    Parameters
    ----------
    size : int
        How many bytes come out, or have come out so far.
    packed : int
        The size of the file, or of all the files.
    where : str
        Its name, for the error.
    freely : int
        How many bytes may come out in any case, however few are packed.
    """
    allowed = most_unpacked(packed, freely)
    if size > allowed:
        raise DataError(
            f"{where}: refused, its {packed:,} bytes unpack to {size:,} or more, which looks like an attempt to fill "
            f"the memory; only {allowed:,} are allowed: if you trust it, unpack it, or save it with less compression"
        )


def check_room(size: int, where: str) -> None:
    """Raise a DataError that names `where` if `size` bytes are more than the free memory, if that is known.

    A size that passes may still be too much: then Python raises a MemoryError, or the system ends the process.
    """
    free = free_memory()
    if free is not None and size > free:
        raise DataError(
            f"{where}: it needs {size:,} bytes of memory, of which {free:,} are free; "
            "take smaller images, or fewer, or a machine with more memory"
        )


def free_memory() -> int | None:
    """Return the bytes available without swapping (Linux), or all that the machine has (macOS); None elsewhere."""
    with suppress(OSError):  # not Linux
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
