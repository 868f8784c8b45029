"""How the kernels of `pixels.cuh` are laid out over images: (n, h, w, c), channels last."""

import math

import cupy
import numpy as np

from xnn._typing import Array
from xnn.kernels.cupy.launching import INT_MAX

LAYOUTS = ("false", "true")
"""Whether a thread takes the channels that 16 bytes hold, or one."""

_THREADS = 256
_MOST_BLOCKS_DOWN = 65535
_MOST_PARTS, _MOST_IMAGES = 64, 2**16


def layout(*arrays: Array) -> str:
    """Return the layout for arrays of one type with channels as their last axis."""
    first = arrays[0]
    is_wide = first.shape[-1] * first.itemsize % 16 == 0 and all(a.data.ptr % 16 == 0 for a in arrays)
    return LAYOUTS[is_wide]


def over_pixels(images: Array, wide: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return grid and block for `each_pixel`, to write images of not more than `INT_MAX` numbers."""
    numbers = math.prod(images.shape[1:])
    packs = numbers * images.itemsize // 16 if wide == "true" else numbers
    across = min(1 << (packs - 1).bit_length(), _THREADS)
    down = _THREADS // across
    return (-(-packs // across), min(-(-len(images) // down), _MOST_BLOCKS_DOWN)), (across, down)


def over_images(images: Array, wide: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return grid and block for blocks (chunk of channels, images) of threads (pack of channels, pixels)."""
    channels = images.shape[-1]
    packs = channels * images.itemsize // 16 if wide == "true" else channels
    across = min(1 << (packs - 1).bit_length(), 32)
    return (-(-packs // across), min(len(images), _MOST_BLOCKS_DOWN)), (across, _THREADS // across)


def are_bytes(images: Array) -> bool:
    """Whether these are images (n, h, w, c) of uint8, contiguous, and of not more than `INT_MAX` pixels each."""
    if not isinstance(images, cupy.ndarray) or images.dtype != np.uint8 or not images.flags.c_contiguous:
        return False
    return bool(images.ndim == 4 and images.size and math.prod(images.shape[1:3]) <= INT_MAX)


def grid_of(count: int, pixels: int) -> tuple[tuple[int, int], tuple[int]]:
    """Return grid and block of a kernel that strides over images along the first axis, over pixels along the second."""
    return (min(count, _MOST_IMAGES), min(-(-pixels // _THREADS), _MOST_PARTS)), (_THREADS,)
