"""Sums over the rows of a matrix, such as gradients that are the same for all pixels of a batch."""

import functools
from collections.abc import Sequence

import cupy
import numpy as np

from xnn._typing import Array
from xnn.kernels.cupy.launching import FLOATS, Kernel, counters

VECTORS = ("1", "4")
"""How many channels, side by side, a thread of a kernel in `columns.cuh` may read at once."""

_SUM_ROWS = Kernel("sums", "sum_rows", FLOATS, VECTORS)
_THREADS = 256
_TILE = 32
_CHUNK = 8
_BLOCKS = 3 * 132
"""Three for each multiprocessor of an H200: all run at once, and the last one has not much to add up."""


def sum_rows(x: Array) -> Array:
    """Return the sums (c,) in float32 of the rows of x (rows, c), contiguous and of float16 or float32; one launch."""
    if not x.size:
        return cupy.zeros(x.shape[1], np.float32)
    sums = cupy.empty(x.shape[1], np.float32)
    launch_sums(_SUM_ROWS, (x.dtype.char, vector_of(x.shape[1], x)), x.shape, (x,), (sums,))
    return sums


def launch_sums(
    kernel: Kernel,
    parameters: tuple[str, ...],
    shape: tuple[int, int],
    reads: Sequence[Array | None],
    writes: Sequence[Array],
    numbers: Sequence[float] = (),
    each: int = 1,
) -> None:
    """Launch a kernel that merges the rows of a matrix, `merge_rows` in `columns.cuh`.

    Parameters
    ----------
    kernel : Kernel
        Its parameters are `reads`, `writes`, a workspace, the counters, rows, channels and `numbers`.
    parameters : tuple of str
        Of the template: first a type, then one of `VECTORS`.
    shape : (rows, channels)
    reads, writes : sequence of arrays
    numbers : sequence of float
    each : int
        How many numbers of float32 a block leaves for each channel.
    """
    rows, channels = shape
    grid, block = columns(rows, channels, parameters[1])
    workspace = None if grid[1] == 1 else cupy.empty((grid[1], channels, each), np.float32)
    moved = sum([a.nbytes for a in (*reads, *writes, workspace, workspace) if a is not None])
    writes = (*writes, workspace, counters())
    kernel.launch(parameters, grid, block, reads, writes, (rows, channels, *numbers), moved=moved)


def vector_of(channels: int, *arrays: Array) -> str:
    """Return how many channels of these arrays (..., channels) a thread can read at once: one of `VECTORS`."""
    return "4" if channels % 4 == 0 and not any(a.data.ptr % (4 * a.itemsize) for a in arrays) else "1"


@functools.lru_cache(4096)
def columns(rows: int, channels: int, vector: str, blocks: int = _BLOCKS) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return grid and block for a kernel that goes down the columns of a matrix, as `columns.cuh` describes.

    Parameters
    ----------
    rows, channels : int
        Of the matrix.
    vector : one of `VECTORS`
    blocks : int
        The most to take, unless more are needed to cover the channels once.
    """
    each = int(vector)
    wide = min(_TILE // each, 1 << (-(-channels // each) - 1).bit_length())
    high = _THREADS // wide
    tiles = -(-channels // (each * wide))
    return (tiles, max(1, min(-(-rows // (_CHUNK * high)), blocks // tiles))), (wide, high)
