"""How the kernels of `pixels.cuh` are laid out over images: (n, h, w, c), channels last."""

import math

from xnn._typing import Array

LAYOUTS = ("false", "true")
"""Whether a thread takes the channels that 16 bytes hold, or one."""

MOST = 2**31 - 1
"""The most numbers of an image."""

_THREADS = 256
_MOST_BLOCKS_DOWN = 65535


def layout(*arrays: Array) -> str:
    """Return the layout for arrays of one type with channels as their last axis."""
    first = arrays[0]
    is_wide = first.shape[-1] * first.itemsize % 16 == 0 and all(a.data.ptr % 16 == 0 for a in arrays)
    return LAYOUTS[is_wide]


def over_pixels(images: Array, wide: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return grid and block for `each_pixel`, to write images of not more than `MOST` numbers."""
    numbers = math.prod(images.shape[1:])
    packs = numbers * images.itemsize // 16 if wide == "true" else numbers
    across = min(1 << (packs - 1).bit_length(), _THREADS)
    down = _THREADS // across
    return (-(-packs // across), min(-(-len(images) // down), _MOST_BLOCKS_DOWN)), (across, down)


def over_images(images: Array, wide: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return grid and block for blocks (image, chunk of channels) of threads (pack of channels, pixels)."""
    channels = images.shape[-1]
    packs = channels * images.itemsize // 16 if wide == "true" else channels
    across = min(1 << (packs - 1).bit_length(), 32)
    return (len(images), -(-packs // across)), (across, _THREADS // across)
