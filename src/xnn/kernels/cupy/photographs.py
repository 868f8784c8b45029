"""Random changes to photographs, each in one pass over the images."""

from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np

from xnn._typing import Array
from xnn.kernels.cupy.augmentation import are_bytes, grid_of
from xnn.kernels.cupy.launching import Kernel

_SAMPLE = Kernel("photographs", "sample_images")
_JITTER = Kernel("photographs", "jitter_colours")

_WEIGHTS = np.dtype([("weight", "i4", 8)])
"""The kernel's structure, of as many channels as an image may have."""


def sample_images(x: Array, row: Array, column: Array) -> Array | None:
    """Return images x (n, h, w, c) of uint8 sampled at rows and columns between the pixels; None for other images.

    Parameters
    ----------
    x : (n, h, w, c) array
    row : (n, h, 1) or (n, h, w) array of float64
    column : (n, 1, w) or (n, h, w) array of float64
    """
    if not are_bytes(x) or not all(a.dtype == np.float64 and a.flags.c_contiguous for a in (row, column)):
        return None
    count, height, width, channels = x.shape
    if row.shape[:2] != (count, height) or column.shape[::2] != (count, width):
        return None
    y = cupy.empty_like(x)
    steps = row.shape[2], int(row.shape[2] > 1), column.shape[1] * width, width if column.shape[1] > 1 else 0
    numbers = count, height, width, channels, *steps
    _SAMPLE.launch((), *grid_of(count, height * width), (x, row, column), (y,), numbers)
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
