"""Random changes to training images, made on the device and for each image on its own.

Each takes images (n, h, w, c) of any dtype and a `Random`, and returns the same dtype and, except for `RandomWindow`,
the same shape. The same seed, stream and counter give the same images on every backend. Each is a single gather: every
pixel of the result comes from some row and column of its own image, or is blank (0: black, in uint8).

The random part of an augmentation, its `Step`, is drawn first and then applied, so that a faster way to apply it draws
the same numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

from xnn import kernels
from xnn._typing import Array, ArrayObject, Shape
from xnn.errors import SettingError
from xnn.random import Random

Augmentation: TypeAlias = Callable[[Array, Random], Array]
FILLS = ("zero", "reflect")


class Step(NamedTuple):
    """What was drawn for each of n images.

    Attributes
    ----------
    kind : {"mirror", "shift", "reflect", "blank", "window"}
        What to do: mirror the image; move it, with nothing or its mirror image beyond the edge; blank a square; cut off
        all but a square.
    rows, columns : (n,) array of int64
        Along each axis, depending on the kind: 1 if it is mirrored, else 0; how many pixels to move; the square's
        first position. `rows` may be None, which stands for zeros.
    size : int
        The square's side.
    """

    kind: str
    rows: Array
    columns: Array
    size: int = 0


class Drawn(ABC):
    """An augmentation whose random numbers, its `Step`, are drawn first and then applied."""

    @abstractmethod
    def draw(self, shape: Shape, random: Random) -> Step:
        """Draw what to do to each image of an array of shape (n, h, w, c)."""

    def __call__(self, x: ArrayObject, random: Random) -> Array:
        """Return x (n, h, w, c) with each image changed; only `RandomWindow` returns another height and width."""
        step = self.draw(x.shape, random)
        change = kernels.functions(random.backend).twin("change_images")
        changed = None if change is None else change(x, step)
        return _applied(x, step, random) if changed is None else changed


@dataclass(frozen=True)
class HorizontalFlip(Drawn):
    """Mirror an image left to right with a probability of one half.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> images = np.arange(3, dtype=np.uint8).reshape(1, 1, 3, 1).repeat(4, axis=0)
    >>> flip, random = data.HorizontalFlip(), Random(xnn.backend("numpy"), seed=0)
    >>> flip(images, random)[:, 0, :, 0]
    array([[2, 1, 0],
           [2, 1, 0],
           [0, 1, 2],
           [2, 1, 0]], dtype=uint8)
    """

    draws_by_image: ClassVar[bool] = True

    def draw(self, shape: Shape, random: Random) -> Step:
        """Draw which images of an array of shape (n, h, w, c) to mirror."""
        # integers(0, 2) is 0 exactly where uniform() < 0.5, so the draw is unchanged.
        return Step("mirror", None, 1 - random.integers(0, 2, (shape[0],)))


@dataclass(frozen=True, eq=False)
class Mirror(Drawn):
    """Mirror given images left to right.

    Attributes
    ----------
    which : (n,) array of int64, on the host or where the images are
        1 for each image to mirror, else 0.
    """

    which: Array

    def draw(self, shape: Shape, random: Random) -> Step:
        """Return which images to mirror; this is not random."""
        return Step("mirror", None, random.backend.asarray(self.which))


@dataclass(frozen=True)
class RandomCrop(Drawn):
    """Pad an image on all sides, then cut out a window of its own size at a random place.

    Attributes
    ----------
    padding : int
        Pixels on each side: an image moves by at most this many along each axis.
    fill : {"zero", "reflect"}
        What fills the border: zeros, or the image mirrored at its outermost pixels (which are not repeated).

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> images = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3, 1)
    >>> crop, random = data.RandomCrop(1), Random(xnn.backend("numpy"), seed=1)
    >>> crop(images, random)[0, :, :, 0]
    array([[0, 4, 5],
           [0, 7, 8],
           [0, 0, 0]], dtype=uint8)
    """

    draws_by_image: ClassVar[bool] = True

    padding: int
    fill: str = "zero"

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise SettingError(f"the padding of RandomCrop must be 0 or more, not {self.padding}")
        if self.fill not in FILLS:
            raise SettingError(f"the fill of RandomCrop must be one of {', '.join(FILLS)}, not {self.fill!r}")

    def draw(self, shape: Shape, random: Random) -> Step:
        """Draw how far to move each image of an array of shape (n, h, w, c)."""
        count, height, width, _ = shape
        if self.fill == "reflect" and self.padding >= min(height, width):
            raise ValueError(f"RandomCrop cannot reflect {self.padding} pixels of images of {height}x{width}")
        offsets = random.integers(-self.padding, self.padding + 1, (2, count))
        return Step("reflect" if self.fill == "reflect" else "shift", offsets[0, :], offsets[1, :])


@dataclass(frozen=True)
class _Square(Drawn):
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SettingError(f"the size of {type(self).__name__} must be at least 1, not {self.size}")


@dataclass(frozen=True)
class Cutout(_Square):
    """Blank a square of an image, at a random place.

    The centre may be any pixel, so a part of the square may lie outside (T. DeVries and G. Taylor, "Improved
    regularization of convolutional neural networks with cutout", 2017). The square is filled with 0: black, in uint8.

    Attributes
    ----------
    size : int
        The side of the square in pixels.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> images = np.full((1, 4, 4, 1), 255, np.uint8)
    >>> cutout, random = data.Cutout(2), Random(xnn.backend("numpy"), seed=0)
    >>> cutout(images, random)[0, :, :, 0]
    array([[255, 255,   0,   0],
           [255, 255, 255, 255],
           [255, 255, 255, 255],
           [255, 255, 255, 255]], dtype=uint8)
    """

    draws_by_image: ClassVar[bool] = True

    def draw(self, shape: Shape, random: Random) -> Step:
        """Draw where to blank each image of an array of shape (n, h, w, c)."""
        count, height, width, _ = shape
        before = self.size // 2
        top, left = (random.integers(-before, side - before, (count,)) for side in (height, width))
        return Step("blank", top, left, self.size)


@dataclass(frozen=True)
class RandomWindow(_Square):
    """Cut a square out of an image, at a random place.

    A network that ends in global pooling learns from small images in a fraction of the time, for instance in the first
    epochs (`FirstEpochs`).

    Attributes
    ----------
    size : int
        The side of the square in pixels.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> window, random = data.RandomWindow(5), Random(xnn.backend("numpy"), seed=0)
    >>> window(np.zeros((10, 8, 8, 3), np.uint8), random).shape
    (10, 5, 5, 3)
    """

    draws_by_image: ClassVar[bool] = True

    def draw(self, shape: Shape, random: Random) -> Step:
        """Draw where to cut each image of an array of shape (n, h, w, c)."""
        count, height, width, _ = shape
        if self.size > min(height, width):
            raise ValueError(
                f"RandomWindow cannot cut {self.size}x{self.size} pixels out of images of {height}x{width}"
            )
        top = random.integers(0, height - self.size + 1, (count,))
        left = random.integers(0, width - self.size + 1, (count,))
        return Step("window", top, left, self.size)


@dataclass(frozen=True)
class Compose:
    """Do several augmentations, one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import data
    >>> from xnn.random import Random
    >>> augment = data.Compose((data.HorizontalFlip(), data.RandomCrop(2, fill="reflect"), data.Cutout(3)))
    >>> random = Random(xnn.backend("numpy"), seed=0)
    >>> augment(np.zeros((10, 8, 8, 3), np.uint8), random).shape
    (10, 8, 8, 3)
    """

    augmentations: tuple[Augmentation, ...]

    def __call__(self, x: ArrayObject, random: Random) -> Array:
        """Return x (n, h, w, c) after all augmentations."""
        for augmentation in self.augmentations:
            x = augmentation(x, random)
        return x


def parts(augmentation: Augmentation | None) -> list[Drawn] | None:
    """Return the augmentations with a `draw` that make up this one; None if a part lacks one, such as a user's own.

    `drawn` draws them in order from the same stream, each for the shape of the batch that it gets, just as calling the
    whole augmentation does.
    """
    if augmentation is None:
        return []
    # A subclass may apply its steps in its own way.
    if isinstance(augmentation, Drawn) and type(augmentation).__call__ is Drawn.__call__:
        return [augmentation]
    if type(augmentation) is not Compose:
        return None
    found: list[Drawn] = []
    for each in augmentation.augmentations:
        inner = parts(each)
        if inner is None:
            return None
        found += inner
    return found


def drawn(augmentations: Sequence[Drawn], shape: Shape, random: Random) -> list[Step]:
    """Return the steps that the augmentations draw for images (n, h, w, c)."""
    steps: list[Step] = []
    for each in augmentations:
        steps.append(each.draw(shape, random))
        if steps[-1].kind == "window":
            shape = (shape[0], steps[-1].size, steps[-1].size, shape[3])
    return steps


def _applied(x: Array, step: Step, random: Random) -> Array:
    """Return x (n, h, w, c) after a step."""
    xp, device = random.backend.xp, random.backend.device
    kind, size = step.kind, step.size
    height, width = x.shape[1:3]
    row = xp.arange(size if kind == "window" else height, dtype=xp.int64, device=device)[None, :, None]
    column = xp.arange(size if kind == "window" else width, dtype=xp.int64, device=device)[None, None, :]
    columns = step.columns[:, None, None]
    if kind == "mirror":
        return _gather(x, random, row, xp.where(columns == 1, width - 1 - column, column))
    rows = step.rows[:, None, None]
    if kind == "blank":
        blank = (row >= rows) & (row < rows + size) & (column >= columns) & (column < columns + size)
        return _gather(x, random, row, column, blank)
    row, column = row + rows, column + columns
    if kind == "shift":
        blank = (row < 0) | (row >= height) | (column < 0) | (column >= width)
        return _gather(x, random, row, column, blank)
    if kind == "reflect":
        # -1 -> 1 at one end, n -> n - 2 at the other.
        row = height - 1 - xp.abs(height - 1 - xp.abs(row))
        column = width - 1 - xp.abs(width - 1 - xp.abs(column))
    return _gather(x, random, row, column)


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
    return xp.reshape(xp.take(pixels, xp.reshape(source, (-1,)), axis=0), (*source.shape, channels))
