"""A data set in memory: images, labels, the names of its classes, and how to hold back some images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from xnn import _markup
from xnn._typing import ArrayLike
from xnn.errors import DataError, SettingError

HostArray: TypeAlias = npt.NDArray[Any]
"""A NumPy array in the host's memory, or mapped from a file."""

DIVISION = 2
"""Which way `validation_split` goes, counted up when it changes: runs and caches know by which one they were made."""


class Arrays(NamedTuple):
    """What a reader finds in files: images (n, h, w, c) of uint8, labels (n,) or (n, kinds) of int64.

    Few data sets have images for validation.
    """

    train_images: HostArray
    train_labels: HostArray
    test_images: HostArray
    test_labels: HostArray
    validation_images: HostArray | None = None
    validation_labels: HostArray | None = None

    @property
    def pairs(self) -> list[tuple[HostArray, HostArray]]:
        """The images and labels of each part that is there: training, test, validation."""
        pairs = [(self.train_images, self.train_labels), (self.test_images, self.test_labels)]
        if self.validation_images is not None and self.validation_labels is not None:
            pairs.append((self.validation_images, self.validation_labels))
        return pairs

    def named(self) -> dict[str, HostArray]:
        """Return the arrays that are there by their names."""
        return {name: array for name, array in self._asdict().items() if array is not None}


class Content(NamedTuple):
    """What a data set is made of: images and labels, the names of the classes, and lines on how it was read."""

    arrays: Arrays
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Found(NamedTuple):
    """Files of a data set: where they are, which they are, and how to read them."""

    location: Path
    paths: list[Path]
    read: Callable[[], Arrays]


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels.

    Attributes
    ----------
    images : (n, h, w, c) array
        uint8 as read from files; an array of floats is used as it is and never normalised.
    labels : (n,) array of int64
        The class of each image, counted from 0. Anything that `class_labels` takes may be given.

    Raises
    ------
    DataError
        If there is no image, if the two counts differ, if the images are not numbers, or if the labels are not classes.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import data
    >>> split = data.Split(np.zeros((4, 8, 8, 1), np.uint8), [0, 1, 1, 2])
    >>> split
    Split(4 images of 8x8x1, uint8, 3 classes)
    >>> split.take(np.asarray([0, 3])).labels
    array([0, 2])
    """

    images: HostArray
    labels: HostArray

    if TYPE_CHECKING:
        # More is taken than is kept.
        def __init__(self, images: ArrayLike, labels: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", _as_array(self.images, "images"))
        object.__setattr__(self, "labels", class_labels(self.labels))
        if self.images.dtype.kind not in "uifb":
            raise DataError(f"images must be numbers, not of type {self.images.dtype}")
        if self.images.ndim < 2 or len(self.images) != len(self.labels):
            raise DataError(
                f"images of shape {self.images.shape} do not fit {len(self.labels)} labels; each image needs one label"
            )
        if len(self.labels) == 0:
            raise DataError("a split needs at least one image")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        count, classes = len(self), len(np.unique(self.labels))
        images = f"{count:,} image{'s' * (count != 1)} of {'x'.join(map(str, self.images.shape[1:]))}"
        return f"Split({images}, {self.images.dtype}, {classes:,} class{'es' * (classes != 1)})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: some images of each class."""
        from xnn.data.showing import grid_of

        return str(_markup.paragraph(self) + grid_of(self))

    def take(self, indices: HostArray) -> "Split":
        """Return a copy of the images and labels at `indices`."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split with the same classes.

    Attributes
    ----------
    name : str
        As requested, such as ``"cifar10"``.
    train, test : Split
        Disjoint images.
    classes : tuple of str
        The name of each label.
    source : str
        Where the images were read from, as text for people.
    divided : bool
        Whether the test images were chosen here, by `validation_split`, from images that come undivided.
    validation : Split or None
        More images, to judge on while training, where the data set comes with them.

    Raises
    ------
    DataError
        If a label has no class, or the splits hold images of different shapes.

    Examples
    --------
    >>> from xnn import data
    >>> digits = data.load("digits")
    >>> digits.image_shape, digits.classes
    ((8, 8, 1), ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'))
    >>> digits.train, digits.test
    (Split(1,437 images of 8x8x1, uint8, 10 classes), Split(360 images of 8x8x1, uint8, 10 classes))
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...] = field(repr=False)
    source: str
    divided: bool = False
    validation: Split | None = None

    def __post_init__(self) -> None:
        held_out = {"test": self.test} | ({} if self.validation is None else {"validation": self.validation})
        for split in (self.train, *held_out.values()):
            check_labels(split.labels, len(self.classes), self.name)
        for what, split in held_out.items():
            if self.train.images.shape[1:] != split.images.shape[1:]:
                raise DataError(
                    f"{self.name}: training images of shape {self.train.images.shape[1:]} do not fit "
                    f"{what} images of shape {split.images.shape[1:]}"
                )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: some training images of each class, with its name."""
        from xnn.data.showing import grid_of

        counts = [f"{len(self.train):,} training", f"{len(self.test):,} test"]
        if self.validation is not None:
            counts.append(f"{len(self.validation):,} validation")
        size = "x".join(map(str, self.image_shape))
        about = f"{self.name}: {', '.join(counts)} images of {size}, {len(self.classes):,} classes, from {self.source}"
        return str(_markup.paragraph(about) + grid_of(self.train, self.classes))

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of one image."""
        return tuple(self.train.images.shape[1:])


def class_labels(labels: Any) -> HostArray:
    """Return the classes of images as a row of int64.

    Parameters
    ----------
    labels : array or sequence
        One whole number for each image, from 0: integers of any type and byte order, booleans, or floats.

    Raises
    ------
    DataError
        If they are text, fractions, NaN, negative, too large for int64, or rows such as one-hot vectors.
    """
    given = _as_array(labels, "labels")
    if given.ndim != 1:
        hint = "; of one column for each class take argmax(axis=1)" if given.ndim == 2 else ""
        raise DataError(f"labels must be a row of whole numbers, one for each image, not of shape {given.shape}{hint}")
    kind = given.dtype.kind
    if kind == "b":
        return given.astype(np.int64)
    # Text, bytes, NumPy's other kind of text, and objects, which may be whole numbers.
    if kind in "USTO":
        _refuse_names(given)
    elif kind not in "iuf":
        raise DataError(f"labels must be whole numbers, not of type {given.dtype}")
    if kind == "f":
        given = given.astype(np.float64, copy=False)
    # NaN compares as false.
    right = (given >= 0) & (given < 2**63)
    if kind == "f":
        right &= np.trunc(given) == given
    if not right.all():
        image = int(np.argmin(right))
        label = given[image]
        shown = str(label)[:40] if kind != "O" or int(label).bit_length() < 100 else "of more than 100 bits"
        raise DataError(f"label {shown} of image {image} is not a class; classes are whole numbers from 0")
    return given.astype(np.int64, copy=False)


def _refuse_names(labels: HostArray) -> None:
    for label in labels:
        if not isinstance(label, int | np.integer):
            raise DataError(
                f"labels must be whole numbers, but {ascii(str(label))[:60]} is not; "
                "numpy.unique(labels, return_inverse=True) turns names of classes into numbers"
            )


def _as_array(values: Any, what: str) -> HostArray:
    try:
        return np.asarray(values)
    # Rows of different lengths, or an array on a GPU.
    except (ValueError, TypeError) as error:
        raise DataError(f"{what} cannot be made a NumPy array ({' '.join(str(error).split())[:200]})") from None


def check_labels(labels: HostArray | Sequence[int], classes: int, where: str) -> None:
    """Raise a DataError that names `where` unless every label is in [0, classes)."""
    values = np.asarray(labels)
    outside = np.flatnonzero((values < 0) | (values >= classes))
    if len(outside):
        first = outside[0]
        raise DataError(
            f"{where}: label {values.flat[first]} of image {first} is out of range; "
            f"the {classes} classes are 0 to {classes - 1}"
        )


def validation_split(split: Split, size: float | int, seed: int = 0) -> tuple[Split, Split]:
    """Hold some images back for validation, the same share of every class.

    The shares are rounded so that each is within one image of `size`. Where a class has two images or more, each side
    gets at least one of them: a fraction gives way to this, a count only decides among the classes.

    Parameters
    ----------
    split : Split
        The images to divide.
    size : float or int
        A fraction in (0, 1), or a count of images.
    seed : int
        Which images are held back. They depend on nothing but the seed and the labels.

    Returns
    -------
    (train, validation) : two Splits
        Disjoint, together all of `split`, and both in its order.

    Raises
    ------
    SettingError
        If one of the two would be empty.

    Examples
    --------
    >>> from xnn import data
    >>> train, validation = data.validation_split(data.load("digits").train, 0.2)
    >>> len(train), len(validation)
    (1150, 287)
    """
    fraction = isinstance(size, float) and 0 < size < 1
    count = round(size * len(split)) if fraction else size
    if isinstance(count, float) or not 0 < count < len(split):
        raise SettingError(
            f"a validation set of {size} out of {len(split)} images is not possible; "
            f"give a fraction between 0 and 1, or a count from 1 to {len(split) - 1}"
        )
    held = _held_back(split.labels, count, seed, exact=not fraction)
    return split.take(np.flatnonzero(~held)), split.take(np.flatnonzero(held))


def _held_back(labels: HostArray, count: int, seed: int, *, exact: bool) -> HostArray:
    """Return for each image whether it is held back."""
    classes, sizes = np.unique(labels, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    held = np.zeros(len(labels), np.bool_)
    for label, places, share in zip(classes, members, _shares(sizes, count, exact=exact), strict=True):
        # A generator for each class: the choice in one does not depend on what is in the others.
        order = np.random.default_rng([seed, int(label)]).permutation(len(places))
        held[places[order[:share]]] = True
    return held


def _shares(sizes: HostArray, count: int, *, exact: bool) -> HostArray:
    """Return how many images of each class are held back, by the largest remainders; `count` in all if `exact`."""
    least, rest = np.divmod(sizes * count, sizes.sum())
    most = least + (rest > 0)
    # At least one on each side, which a class of one image does not have: it stays whole in training.
    lower, upper = np.maximum(least, np.minimum(sizes - 1, 1)), np.minimum(most, sizes - 1)
    if not exact and upper.any():
        count = min(max(count, int(lower.sum())), int(upper.sum()))
    if lower.sum() <= count <= upper.sum():
        least, most = lower, upper
    open_ = np.flatnonzero(least < most)
    # Classes of one image come last.
    order = open_[np.lexsort((open_, -rest[open_], sizes[open_] == 1))]
    least[order[: count - int(least.sum())]] += 1
    return least
