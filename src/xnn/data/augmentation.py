"""Random changes to training images, on the device, each image on its own.

Each takes images (n, h, w, c) of any dtype and a `Random`, and returns the same shape and dtype. The same seed, stream
and counter give the same images on every backend. All are one gather: for each pixel of the result, the row and column
of its own image that it comes from, or that it is blank (0: black, in uint8).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from xnn._typing import Array
from xnn.errors import SettingError
from xnn.random import Random

Augmentation: TypeAlias = Callable[[Array, Random], Array]
FILLS = ("zero", "reflect")


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror an image left to right with a probability of one half."""

    def __call__(self, x: Array, random: Random) -> Array:
        """Return x (n, h, w, c) with about half of the images mirrored."""
        xp = random.backend.xp
        row, column = _positions(x, random)
        flipped = random.uniform((x.shape[0], 1, 1)) < 0.5
        return _gather(x, random, row, xp.where(flipped, x.shape[2] - 1 - column, column))


@dataclass(frozen=True)
class RandomCrop:
    """Pad an image on all sides, then cut out a window of its own size at a random place.

    Attributes
    ----------
    padding : int
        Pixels on each side: an image moves by up to so many pixels along each axis.
    fill : {"zero", "reflect"}
        What the border is made of: zeros, or the image mirrored at its outermost pixels (which are not repeated).
    """

    padding: int
    fill: str = "zero"

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise SettingError(f"the padding of RandomCrop must not be negative, not {self.padding}")
        if self.fill not in FILLS:
            raise SettingError(f"the fill of RandomCrop must be one of {', '.join(FILLS)}, not {self.fill!r}")

    def __call__(self, x: Array, random: Random) -> Array:
        """Return x (n, h, w, c) with each image moved by its own two offsets."""
        xp = random.backend.xp
        count, height, width, _ = x.shape
        if self.fill == "reflect" and self.padding >= min(height, width):
            raise ValueError(f"RandomCrop cannot reflect {self.padding} pixels of images of {height}x{width}")
        offsets = random.integers(-self.padding, self.padding + 1, (2, count, 1, 1))
        row, column = _positions(x, random)
        row, column = row + offsets[0, ...], column + offsets[1, ...]
        if self.fill == "reflect":
            # -1 -> 1 at one end; at the other n -> n - 2.
            row = height - 1 - xp.abs(height - 1 - xp.abs(row))
            column = width - 1 - xp.abs(width - 1 - xp.abs(column))
            return _gather(x, random, row, column)
        blank = (row < 0) | (row >= height) | (column < 0) | (column >= width)
        return _gather(x, random, row, column, blank)


@dataclass(frozen=True)
class Cutout:
    """Blank a square of an image, at a random place.

    The centre is any pixel, so that a part of the square may lie outside (T. DeVries and G. Taylor, "Improved
    regularization of convolutional neural networks with cutout", 2017). The square is filled with 0: black, in uint8.

    Attributes
    ----------
    size : int
        The side of the square in pixels.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SettingError(f"the size of Cutout must be at least 1, not {self.size}")

    def __call__(self, x: Array, random: Random) -> Array:
        """Return x (n, h, w, c) with a square of zeros in each image."""
        count, height, width, _ = x.shape
        top = random.integers(0, height, (count, 1, 1)) - self.size // 2
        left = random.integers(0, width, (count, 1, 1)) - self.size // 2
        row, column = _positions(x, random)
        blank = (row >= top) & (row < top + self.size) & (column >= left) & (column < left + self.size)
        return _gather(x, random, row, column, blank)


@dataclass(frozen=True)
class Compose:
    """Do several augmentations, one after the other."""

    augmentations: tuple[Augmentation, ...]

    def __call__(self, x: Array, random: Random) -> Array:
        """Return x (n, h, w, c) after all augmentations."""
        for augmentation in self.augmentations:
            x = augmentation(x, random)
        return x


def _positions(x: Array, random: Random) -> tuple[Array, Array]:
    """Return the row (1, h, 1) and the column (1, 1, w) of each pixel of x (n, h, w, c)."""
    xp, device = random.backend.xp, random.backend.device
    row = xp.arange(x.shape[1], dtype=xp.int64, device=device)
    column = xp.arange(x.shape[2], dtype=xp.int64, device=device)
    return row[None, :, None], column[None, None, :]


def _gather(x: Array, random: Random, row: Array, column: Array, blank: Array | None = None) -> Array:
    """Return y[i, j, k] = x[i, row[i, j, k], column[i, j, k]], or 0 where `blank`; all three broadcast to (n, h, w).

    The pixels are gathered from a stack (n h w, c) that has a pixel of zeros at its end.
    """
    xp, device = random.backend.xp, random.backend.device
    count, height, width, channels = x.shape
    image = xp.arange(count, dtype=xp.int64, device=device)[:, None, None]
    source = (image * height + row) * width + column
    pixels = xp.reshape(x, (count * height * width, channels))
    if blank is not None:
        pixels = xp.concat([pixels, xp.zeros((1, channels), dtype=x.dtype, device=device)])
        source = xp.where(blank, count * height * width, source)
    return xp.reshape(xp.take(pixels, xp.reshape(source, (-1,)), axis=0), x.shape)
