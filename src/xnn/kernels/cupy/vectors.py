"""Kernels whose threads read and write several neighbouring channels at once, up to 16 bytes."""

import functools
from collections.abc import Sequence

from xnn._typing import Array
from xnn.kernels.cupy.launching import Kernel

LENGTHS = {"e": ("1", "2", "4", "8"), "f": ("1", "2", "4")}
"""Numbers in a vector, by their type."""

_THREADS = 256
_BLOCKS = 4096


def of_vectors(file: str, name: str, *choices: Sequence[str]) -> dict[str, Kernel]:
    """Return a kernel over vectors for each type, whose template has the type, the vectors' length and `choices`."""
    return {letter: Kernel(file, name, (letter,), lengths, *choices) for letter, lengths in LENGTHS.items()}


def vector_length(channels: int, *arrays: Array) -> str:
    """Return the length of the longest vectors that divide the channels of arrays (..., channels) of one type."""
    size = arrays[0].itemsize
    length = 16 // size
    while channels % length or any(a.data.ptr % (length * size) for a in arrays):
        length //= 2
    return str(length)


@functools.lru_cache(4096)
def over_rows(rows: int, vectors: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return grid and block for a kernel over rows of so many vectors.

    Threads and blocks along x are neighbours in a row; those along y have other rows, over which they stride.
    """
    parts = -(-vectors // _THREADS)
    across = -(-vectors // parts)
    down = min(_THREADS // across, rows)
    return (parts, min(-(-rows // down), max(_BLOCKS // parts, 1))), (across, down)
