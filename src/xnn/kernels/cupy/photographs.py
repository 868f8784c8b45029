"""Random changes to photographs, each in one pass over the images."""

from collections.abc import Callable, Sequence
from typing import Any

import cupy
import numpy as np

from xnn._typing import Array
from xnn.kernels.cupy.launching import Kernel
from xnn.kernels.cupy.pixels import are_bytes, grid_of

_SAMPLE = Kernel("photographs", "sample_images")
_JITTER = Kernel("photographs", "jitter_colours")

_WEIGHTS = np.dtype([("weight", "i4", 8)])
"""The kernel's structure, of as many channels as an image may have."""

_AT_ONCE = 2**22
"""Pixels, or an image where that has more: the positions between pixels, of float64, take many times their memory."""


def sample_images(x: Array, source: Callable[[slice], tuple[Array, Array]]) -> Array | None:
    """Return images x (n, h, w, c) of uint8 sampled between their pixels; None for other images.

    Parameters
    ----------
    x : (n, h, w, c) array
    source : callable
        Returns the rows, (n, h, 1) or (n, h, w), and the columns, (n, 1, w) or (n, h, w), of float64, for a part of the
        images.
    """
    if not are_bytes(x):
        return None
    count, height, width, channels = x.shape
    y, step = cupy.empty_like(x), max(_AT_ONCE // (height * width), 1)
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        row, column = (cupy.ascontiguousarray(a, np.float64) for a in source(part))
        steps = row.shape[2], int(row.shape[2] > 1), column.shape[1] * width, width if column.shape[1] > 1 else 0
        numbers = part.stop - start, height, width, channels, *steps
        _SAMPLE.launch((), *grid_of(part.stop - start, height * width), (x[part], row, column), (y[part],), numbers)
    return y


def jitter_colours(x: Array, pixels: Array, greys: Array, mean: Array, weights: Sequence[int]) -> Array | None:
    """Return images x (n, h, w, c) of uint8 as sums of their pixels, their greys and their mean grey.

    Parameters
    ----------
    x : (n, h, w, c) array
    pixels, greys, mean : (n,) array of float64
        Factors of each.
    weights : sequence of int
        What each channel counts in a grey.

    Returns
    -------
    (n, h, w, c) array or None
        None for other images, or more than eight channels.
    """
    if not are_bytes(x) or len(weights) > _WEIGHTS["weight"].shape[0]:
        return None
    count, height, width, channels = x.shape
    y, packed = cupy.empty_like(x), np.zeros(1, _WEIGHTS)
    packed["weight"][0, :channels] = weights
    numbers: tuple[Any, ...] = (count, height * width, channels, packed[0])
    # The images are read twice.
    moved = 3 * x.size + 3 * 8 * count
    _JITTER.launch((), *grid_of(count, 1), (x, pixels, greys, mean), (y,), numbers, moved=moved)
    return y
