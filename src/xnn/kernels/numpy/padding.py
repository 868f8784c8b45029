"""Copying an image into and out of a larger, padded one; all arrays are one-dimensional and contiguous."""

from typing import Any

from xnn.kernels.numpy.compiled import inlined
from xnn.kernels.numpy.simd import copy


@inlined
def spread(
    x: Any, start: int, height: int, width: int, channels: int, top: int, left: int,
    rows: int, line: int, wide: int, image: Any,
) -> None:  # fmt: skip
    """Copy the image at x[start] to (top, left) of a larger one, (rows, line, wide), which is zero elsewhere.

    Pixels that do not fit below or to the right are left out, since no window sees them.
    """
    image[: rows * line * wide] = 0.0
    for i in range(min(height, rows - top)):
        for j in range(min(width, line - left)):
            source = start + (i * width + j) * channels
            target = ((i + top) * line + j + left) * wide
            copy(x, source, image, target, channels)


@inlined
def crop(
    image: Any, rows: int, line: int, wide: int, top: int, left: int,
    x: Any, start: int, height: int, width: int, channels: int,
) -> None:  # fmt: skip
    """Copy the part from (top, left) on of a larger image, (rows, line, wide), to x[start]; missing pixels are zero."""
    for i in range(height):
        for j in range(width):
            target = start + (i * width + j) * channels
            if i + top < rows and j + left < line:
                copy(image, ((i + top) * line + j + left) * wide, x, target, channels)
            else:
                x[target : target + channels] = 0.0
