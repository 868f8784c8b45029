"""Random changes to photographs: another section of them, turned, in other light.

As in `xnn.data.augmentation`, each takes images (n, h, w, c) and a `Random`, and returns images of the same shape and
dtype; the same seed, stream and counter give the same images on every backend, but for rounding where a library's
sine, cosine or exponential differs in its last place. All numbers of a block are drawn first. The work is done a few
images at a time, since it takes some ten times the memory of the pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from xnn import kernels
from xnn._arrays import clamp
from xnn._typing import Array, ArrayObject
from xnn.errors import SettingError
from xnn.random import Random

_AT_ONCE = 2**17
"""Pixels, or an image where that has more."""

_LUMA = (299, 587, 114)
"""What red, green and blue count in a grey, in thousandths (ITU-R BT.601)."""


@dataclass(frozen=True)
class RandomResizedCrop:
    """Cut a rectangle out of an image, at a random place, and scale it to the image's size by linear interpolation.

    Attributes
    ----------
    scale : (float, float)
        Least and greatest area of the rectangle, as a share of the image's, above 0 and at most 1.
    ratio : (float, float)
        Least and greatest ratio of its width to its height, as a multiple of the image's; drawn evenly by its
        logarithm. A side that would be longer than the image's is as long as that.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    >>> crop, random = data.RandomResizedCrop(scale=(0.5, 1.0)), Random(xnn.backend("numpy"), seed=0)
    >>> crop(images, random).shape
    (2, 32, 32, 3)
    """

    draws_by_image: ClassVar[bool] = True

    scale: tuple[float, float] = (0.35, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0.0 < low <= high <= 1.0:
            raise SettingError(f"the scale of RandomResizedCrop must be two shares of the area, not {self.scale}")
        low, high = self.ratio
        if not 0.0 < low <= high < math.inf:
            raise SettingError(f"the ratio of RandomResizedCrop must be two numbers above 0, not {self.ratio}")

    def __call__(self, x: ArrayObject, random: Random) -> Array:
        """Return x (n, h, w, c) with a rectangle of each image in its place."""
        xp = random.backend.xp
        count, height, width, _ = x.shape
        area = _between(random, *self.scale, count)
        narrow, wide = (math.log(each) for each in self.ratio)
        root = xp.exp(0.5 * _between(random, narrow, wide, count))
        rows, columns = (clamp(xp, xp.sqrt(area) * each, 0.0, 1.0) for each in (1.0 / root, root))
        place = random.uniform((2, count), "float64")

        def source(size: int, share: Array, where: Array) -> Array:
            """The positions along an axis, (n, size): a pixel's centre is a half behind its number."""
            pixels = xp.arange(size, dtype=xp.float64, device=random.backend.device)[None, :]
            share, where = share[:, None], where[:, None]
            return (pixels + 0.5) * share + (size * (1.0 - share) * where - 0.5)

        row, column = source(height, rows, place[0, :]), source(width, columns, place[1, :])
        return _by_piece(x, random, lambda part: (row[part, :, None], column[part, None, :]))


@dataclass(frozen=True)
class RandomRotation:
    """Turn an image about its centre by a random angle, by linear interpolation; beyond its edges it is mirrored.

    Attributes
    ----------
    degrees : float
        The greatest angle, to either side.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> images = np.full((1, 8, 8, 3), 7, np.uint8)
    >>> turn, random = data.RandomRotation(15.0), Random(xnn.backend("numpy"), seed=0)
    >>> np.unique(turn(images, random))  # no blank corners: beyond its edges an image is mirrored
    array([7], dtype=uint8)
    """

    draws_by_image: ClassVar[bool] = True

    degrees: float = 15.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.degrees <= 180.0:
            raise SettingError(f"the degrees of RandomRotation must be from 0 to 180, not {self.degrees}")

    def __call__(self, x: ArrayObject, random: Random) -> Array:
        """Return x (n, h, w, c) with each image turned."""
        xp, device = random.backend.xp, random.backend.device
        count, height, width, _ = x.shape
        most = math.radians(self.degrees)
        angle = _between(random, -most, most, count)
        cosine, sine = xp.cos(angle)[:, None, None], xp.sin(angle)[:, None, None]
        centre = (height - 1) / 2, (width - 1) / 2
        row = xp.arange(height, dtype=xp.float64, device=device)[None, :, None] - centre[0]
        column = xp.arange(width, dtype=xp.float64, device=device)[None, None, :] - centre[1]

        def source(part: slice) -> tuple[Array, Array]:
            cos, sin = cosine[part, ...], sine[part, ...]
            return (
                _mirrored(xp, cos * row - sin * column + centre[0], height),
                _mirrored(xp, sin * row + cos * column + centre[1], width),
            )

        return _by_piece(x, random, source)


@dataclass(frozen=True)
class ColourJitter:
    """Change brightness, contrast and saturation of an image, each by a random factor from 1 - s to 1 + s.

    Brightness multiplies all numbers, contrast their distance from the image's mean grey, saturation that from each
    pixel's own grey. Grey counts red, green and blue as the eye does; images of other than three channels have the mean
    of their channels. What leaves 0 to 255 is clipped, once, after all three.

    Attributes
    ----------
    brightness, contrast, saturation : float
        The strength s of each, from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> images = np.full((3, 8, 8, 3), 100, np.uint8)
    >>> jitter = data.ColourJitter(brightness=0.3, contrast=0.0, saturation=0.0)
    >>> changed = jitter(images, Random(xnn.backend("numpy"), seed=0))
    >>> [int(image.min()) == int(image.max()) for image in changed]  # each by a factor of its own
    [True, True, True]
    """

    draws_by_image: ClassVar[bool] = True

    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingError(f"the {name} of ColourJitter must be from 0 to 1, not {getattr(self, name)}")

    def __call__(self, x: ArrayObject, random: Random) -> Array:
        """Return x (n, h, w, c) of uint8 with each image's colours changed.

        Raises
        ------
        TypeError
            If the images are of another dtype, whose range is not known.
        """
        xp = random.backend.xp
        if x.dtype != xp.uint8:
            raise TypeError(f"ColourJitter needs uint8 images, not {x.dtype}")
        count, height, width, channels = x.shape
        bright, contrast, saturation = (
            _between(random, 1.0 - strength, 1.0 + strength, count)
            for strength in (self.brightness, self.contrast, self.saturation)
        )
        # The three in turn are one sum: of the pixel, of its own grey, and of the image's mean grey.
        pixels, greys = saturation * contrast * bright, (1.0 - saturation) * contrast * bright
        mean = (1.0 - contrast) * bright
        counts = _LUMA if channels == 3 else (1,) * channels
        twin = kernels.functions(random.backend).twin("jitter_colours")
        jittered = None if twin is None else twin(x, pixels, greys, mean, counts)
        if jittered is not None:
            return jittered

        def jitter(part: slice) -> Array:
            image = x[part, ...]
            # Sums of whole numbers, so that they are the same on every backend.
            grey = sum(weight * xp.astype(image[..., c : c + 1], xp.int64) for c, weight in enumerate(counts))
            average = xp.sum(grey, axis=(1, 2, 3), keepdims=True)
            factors = (each[part][:, None, None, None] for each in (pixels, greys, mean))
            of_pixel, of_grey, of_mean = factors
            y = of_pixel * xp.astype(image, xp.float64)
            y = y + of_grey * (xp.astype(grey, xp.float64) / sum(counts))
            y = y + of_mean * (xp.astype(average, xp.float64) / (sum(counts) * height * width))
            return xp.astype(xp.round(clamp(xp, y, 0.0, 255.0)), x.dtype)

        return _joined(x, random, jitter)


def _between(random: Random, low: float, high: float, count: int) -> Array:
    """Return numbers (count,) of float64 from low to high."""
    return low + (high - low) * random.uniform((count,), "float64")


def _mirrored(xp: Any, position: Array, size: int) -> Array:
    """Return positions along an axis, those beyond its ends mirrored at its first and last pixel, however far."""
    period = 2.0 * max(size - 1, 1)
    inside = xp.remainder(position, period)
    return xp.minimum(inside, period - inside)


def _joined(x: Array, random: Random, change: Callable[[slice], Array]) -> Array:
    """Return the changed images, a few at a time."""
    step = max(_AT_ONCE // max(math.prod(x.shape[1:3]), 1), 1)
    parts = [change(slice(start, min(start + step, x.shape[0]))) for start in range(0, max(x.shape[0], 1), step)]
    return random.backend.xp.concat(parts) if len(parts) != 1 else parts[0]


def _by_piece(x: Array, random: Random, source: Callable[[slice], tuple[Array, Array]]) -> Array:
    """Return the images sampled at the rows and columns that `source` gives for a part of them."""
    twin = kernels.functions(random.backend).twin("sample_images")
    sampled = None if twin is None else twin(x, source)
    if sampled is not None:
        return sampled
    return _joined(x, random, lambda part: _sampled(x[part, ...], *source(part), random))


def _sampled(x: Array, row: Array, column: Array, random: Random) -> Array:
    """Return y[i, j, k] = x[i] at (row[i, j, k], column[i, j, k]), between pixels; both broadcast to (n, h, w).

    Positions beyond the outermost pixels stand for these.
    """
    xp, device = random.backend.xp, random.backend.device
    count, height, width, channels = x.shape
    real = x.dtype if xp.isdtype(x.dtype, "real floating") else xp.float32
    (top, down), (left, right) = (_split(xp, at, size, real) for at, size in ((row, height), (column, width)))
    below, beside = clamp(xp, top + 1, 0, height - 1), clamp(xp, left + 1, 0, width - 1)
    image = xp.arange(count, dtype=xp.int64, device=device)[:, None, None] * height
    pixels = xp.reshape(x, (count * height * width, channels))

    def at(rows: Array, columns: Array) -> Array:
        place = (image + rows) * width + columns
        found = xp.take(pixels, xp.reshape(place, (-1,)), axis=0)
        return xp.astype(xp.reshape(found, (*place.shape, channels)), real, copy=False)

    upper, lower = (
        first + (second - first) * right[..., None]
        for first, second in ((at(rows, left), at(rows, beside)) for rows in (top, below))
    )
    y = upper + (lower - upper) * down[..., None]
    return y if real == x.dtype else xp.astype(xp.round(y), x.dtype)


def _split(xp: Any, position: Array, size: int, real: Any) -> tuple[Array, Array]:
    """Return the pixel before each position, and how far it is behind it, from 0 to 1."""
    inside = clamp(xp, position, 0.0, size - 1.0)
    pixel = xp.floor(inside)
    return xp.astype(pixel, xp.int64), xp.astype(inside - pixel, real)
