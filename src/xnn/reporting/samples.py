"""Some of a run's training images, and what its augmentation makes of them."""

from dataclasses import dataclass

import numpy as np

from xnn.backends import backend
from xnn.data import Batches, Dataset
from xnn.data.splits import HostArray
from xnn.errors import RunError
from xnn.runs.augmentation import augmentation, mixing
from xnn.runs.settings import Settings

MOST_IMAGES = 8
FIRST_EPOCHS = 4
"""Epochs to show, from the first one on; the last one is shown too."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Some training images, as they are and as a network gets them.

    Attributes
    ----------
    names
        The class of each image.
    images
        (n, h, w, c) of uint8: as they are.
    versions
        The images in some epochs, counted from 1: (n, h, w, c) of uint8, in another size where windows are cut out.
        Empty if the run leaves its images as they are.
    mixed
        Whether each is mixed with another one of them.

    Examples
    --------
    >>> from xnn import Settings, data
    >>> from xnn.reporting.samples import samples
    >>> found = samples(Settings(augment=("flip",), epochs=9), data.load("digits"))
    >>> found.images.shape, list(found.versions)
    ((8, 8, 8, 1), [1, 2, 3, 4, 9])
    """

    names: tuple[str, ...]
    images: HostArray
    versions: dict[int, HostArray]
    mixed: bool = False


def samples(settings: Settings, dataset: Dataset) -> Samples:
    """Return training images of as many classes as there is room for, as they are and as a run's settings change them.

    What is changed goes through `xnn.data.Batches`, as in training, with the run's seed, but not in the run's batches:
    what is drawn for an image in an epoch is as likely as what was drawn there, not the same.

    Parameters
    ----------
    settings
        A run's own, in which every default is filled in.
    dataset

    Raises
    ------
    RunError
        The images are too small for the augmentation: they are not those of the run.
    """
    split = dataset.train.take(_of_each_class(np.asarray(dataset.train.labels, np.int64), MOST_IMAGES))
    names = tuple(dataset.classes[label] for label in split.labels)
    if settings.epochs is None or (augmentation(settings) is None and mixing(settings) is None):
        return Samples(names, np.asarray(split.images), {})
    last = settings.epochs
    # The same everywhere, and nothing has to be compiled.
    plain = backend("numpy", twins=False)
    batches = Batches(
        split,
        len(split),
        backend=plain,
        shuffle=False,
        seed=settings.seed,
        augment=augmentation(settings),
        mix=mixing(settings),
        classes=len(dataset.classes),
    )
    epochs = sorted({*range(1, min(FIRST_EPOCHS, last) + 1), last})
    try:
        versions = {epoch: _pixels(next(batches.epoch(epoch - 1))[0]) for epoch in epochs}
    except ValueError as error:
        raise RunError(f"the run's augmentation does not fit the images of {dataset.name}: {error}") from error
    return Samples(names, np.asarray(split.images), versions, mixed=batches.mix is not None)


def _pixels(x: HostArray) -> HostArray:
    return np.clip(np.rint(x), 0.0, 255.0).astype(np.uint8)


def _of_each_class(labels: HostArray, most: int) -> HostArray:
    """Return the positions of at most `most` images: the first of each class, then the second of each, and so on."""
    counts = np.bincount(labels)
    within = np.empty(len(labels), np.int64)
    within[np.argsort(labels, kind="stable")] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    order: HostArray = np.lexsort((labels, within))[:most]
    return order
