"""A data set in memory: images, labels, the names of its classes, and how to hold some images back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from xnn.errors import DataError, SettingError

HostArray: TypeAlias = npt.NDArray[Any]
"""A NumPy array in the host's memory, or mapped from a file."""


class Arrays(NamedTuple):
    """What a reader finds in files: images (n, h, w, c) of uint8, labels (n,) or (n, kinds) of int64."""

    train_images: HostArray
    train_labels: HostArray
    test_images: HostArray
    test_labels: HostArray


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels.

    Attributes
    ----------
    images : (n, h, w, c) array
        uint8 as read from files; an array of floats is taken as it is and never normalised.
    labels : (n,) array of integers
        The class of each image, counted from 0.

    Raises
    ------
    DataError
        If there is no image, if the two counts differ, or if the labels are no row of integers.
    """

    images: HostArray = field(repr=False)
    labels: HostArray = field(repr=False)

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype.kind not in "iu":
            raise DataError(f"labels must be a row of integers, not {self.labels.dtype} of shape {self.labels.shape}")
        if self.images.ndim < 2 or len(self.images) != len(self.labels):
            raise DataError(
                f"images of shape {self.images.shape} do not fit {len(self.labels)} labels; each image needs one label"
            )
        if len(self.labels) == 0:
            raise DataError("a split needs at least one image")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: HostArray) -> "Split":
        """Return a copy of the images and labels at `indices`."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split with the same classes.

    Attributes
    ----------
    name : str
        As it was asked for, such as ``"cifar10"``.
    train, test : Split
        Disjoint images.
    classes : tuple of str
        The name of each label.
    source : str
        Where the images were read from, for people.

    Raises
    ------
    DataError
        If a label has no class, or the two splits hold images of different shapes.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...] = field(repr=False)
    source: str

    def __post_init__(self) -> None:
        for split in (self.train, self.test):
            check_labels(split.labels, len(self.classes), self.name)
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise DataError(
                f"{self.name}: training images of shape {self.train.images.shape[1:]} do not fit "
                f"test images of shape {self.test.images.shape[1:]}"
            )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of one image."""
        return tuple(self.train.images.shape[1:])


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
    """Hold some images back for validation.

    Parameters
    ----------
    split : Split
        The images to divide.
    size : float or int
        A fraction in (0, 1), or a count of images.
    seed : int
        Which images are held back; the same seed gives the same ones.

    Returns
    -------
    (train, validation) : two Splits
        Disjoint, together all of `split`, each in the order of `split`.

    Raises
    ------
    SettingError
        If nothing would be left on one of the two sides.
    """
    count = round(size * len(split)) if isinstance(size, float) and 0 < size < 1 else size
    if isinstance(count, float) or not 0 < count < len(split):
        raise SettingError(
            f"a validation set of {size} out of {len(split)} images is not possible; "
            f"give a fraction between 0 and 1, or a count from 1 to {len(split) - 1}"
        )
    order = np.random.default_rng(seed).permutation(len(split))
    return split.take(np.sort(order[count:])), split.take(np.sort(order[:count]))
