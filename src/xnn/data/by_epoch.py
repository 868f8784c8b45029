"""Augmentations that depend on the epoch and on the images in a batch.

`Batches` asks what they amount to in an epoch (`for_images`); they cannot be applied on their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import numpy as np

from xnn._typing import Array, ArrayObject
from xnn.data.augmentation import Augmentation, Compose, Mirror
from xnn.data.splits import HostArray
from xnn.errors import SettingError
from xnn.random import Random

# S. Vigna's "splitmix64", after G. Steele et al., "Fast splittable pseudorandom number generators", OOPSLA 2014.
_INCREMENT = 0x9E3779B97F4A7C15
_MIXING = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


@dataclass(frozen=True)
class AlternatingFlip:
    """Mirror each image left to right in every other epoch.

    A hash of its index in the data set and the seed decides whether an image begins mirrored. So of two successive
    epochs, one shows the image as it is and the other its mirror image; random flips would show the same side twice
    half of the time (K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024).

    `Batches` tells it which images are in a batch; it cannot be applied on its own.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import data
    >>> flip, images = data.AlternatingFlip(), np.arange(6)
    >>> flip.of(images, seed=0, epoch=0).which
    array([0, 1, 1, 1, 0, 1])
    >>> flip.of(images, seed=0, epoch=1).which
    array([1, 0, 0, 0, 1, 0])
    """

    draws_by_image: ClassVar[bool] = True

    def of(self, indices: HostArray, seed: int, epoch: int) -> Mirror:
        """Return the augmentation in an epoch for the images at `indices` (n,) of the data set."""
        return self.from_beginning(begins_mirrored(np.asarray(indices), seed), epoch)

    def from_beginning(self, begins: Array, epoch: int) -> Mirror:
        """Return the augmentation in an epoch for images for which `begins_mirrored` returned `begins` (n,)."""
        return Mirror(begins if epoch % 2 == 0 else 1 - begins)

    def __call__(self, x: ArrayObject, random: Random) -> Array:
        """Raise a TypeError: which images are mirrored depends on their indices and on the epoch."""
        raise TypeError("AlternatingFlip needs the images' indices and the epoch; use it in Batches, or call its of()")


@dataclass(frozen=True)
class FirstEpochs:
    """Do an augmentation in the first epochs only.

    Attributes
    ----------
    augmentation : callable
    epochs : int
        How many.

    Examples
    --------
    >>> import xnn
    >>> from xnn import data
    >>> small_first = data.FirstEpochs(data.RandomWindow(5), epochs=1)
    >>> batches = data.Batches(data.load("digits").train, 64, backend=xnn.backend("numpy"), augment=small_first)
    >>> [next(batches.epoch(epoch))[0].shape for epoch in range(2)]
    [(64, 5, 5, 1), (64, 8, 8, 1)]
    """

    augmentation: Augmentation
    epochs: int

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise SettingError(f"the epochs of FirstEpochs must be 0 or more, not {self.epochs}")

    def __call__(self, x: ArrayObject, random: Random) -> NoReturn:
        """Raise a TypeError: what to do depends on the epoch."""
        raise TypeError("FirstEpochs needs the epoch; use it in Batches")


def for_images(augmentation: Augmentation | None, begins: Callable[[], Array], epoch: int) -> Augmentation | None:
    """Return an augmentation for images in an epoch; `begins` is called if their `begins_mirrored` is needed."""
    if type(augmentation) is AlternatingFlip:
        return augmentation.from_beginning(begins(), epoch)
    if type(augmentation) is FirstEpochs:
        return for_images(augmentation.augmentation, begins, epoch) if epoch < augmentation.epochs else None
    if type(augmentation) is Compose:
        known = [for_images(each, begins, epoch) for each in augmentation.augmentations]
        return Compose(tuple(each for each in known if each is not None))
    return augmentation


def begins_mirrored(indices: HostArray, seed: int) -> HostArray:
    """Return whether an `AlternatingFlip` mirrors the images at `indices` (n,) in epoch 0: 1 or 0, of int64."""
    # Only the highest bit is used: it depends on every bit of index and seed.
    entropy = np.random.SeedSequence([seed, 0xF119]).generate_state(1, np.uint64)
    words = (indices.astype(np.uint64) + np.uint64(1)) * np.uint64(_INCREMENT) + entropy
    for shift, multiplier in _MIXING:
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(multiplier)
    return (words >> np.uint64(63)).astype(np.int64)
