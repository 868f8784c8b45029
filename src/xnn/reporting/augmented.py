"""What a run's augmentation makes of training images."""

from dataclasses import dataclass

import numpy as np

from xnn.backends import backend
from xnn.data import Batches, Dataset
from xnn.data.splits import HostArray
from xnn.errors import RunError
from xnn.runs.assembly import augmentation, mixing
from xnn.runs.settings import Settings, known

MOST_IMAGES = 8
FIRST_EPOCHS = 4
"""Epochs to show, from the first one on; the last one is shown too."""


@dataclass(frozen=True, eq=False)
class Augmented:
    """Some training images, as they are and as a network gets them.

    Attributes
    ----------
    names
        The class of each image.
    images
        (n, h, w, c) of uint8: as they are.
    versions
        The images in some epochs, counted from 1: (n, h, w, c) of uint8, in another size where windows are cut out.
    mixed
        Whether each is mixed with another one of them.
    """

    names: tuple[str, ...]
    images: HostArray
    versions: dict[int, HostArray]
    mixed: bool = False


def is_augmented(settings: Settings) -> bool:
    """Whether a run changes its training images; a run's own settings, in which every default is filled in."""
    if settings.epochs is None:
        return False
    return augmentation(settings) is not None or mixing(settings) is not None


def augmented(settings: Settings, dataset: Dataset) -> Augmented | None:
    """Return training images of as many classes as there is room for, changed as a run's settings say.

    They go through `xnn.data.Batches`, as in training, with the run's seed, but not in the run's batches: what is drawn
    for an image in an epoch is as likely as what was drawn there, not the same.

    Returns
    -------
    Augmented or None
        None if the run leaves its images as they are.

    Raises
    ------
    RunError
        The images are too small for the augmentation: they are not those of the run.
    """
    if not is_augmented(settings):
        return None
    last = known(settings.epochs)
    split = dataset.train.take(_of_each_class(np.asarray(dataset.train.labels, np.int64), MOST_IMAGES))
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
    names = tuple(dataset.classes[label] for label in split.labels)
    return Augmented(names, np.asarray(split.images), versions, mixed=batches.mix is not None)


def _pixels(x: HostArray) -> HostArray:
    return np.clip(np.rint(x), 0.0, 255.0).astype(np.uint8)


def _of_each_class(labels: HostArray, most: int) -> HostArray:
    """Return the positions of at most `most` images: the first of each class, then the second of each, and so on."""
    counts = np.bincount(labels)
    within = np.empty(len(labels), np.int64)
    within[np.argsort(labels, kind="stable")] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    order: HostArray = np.lexsort((labels, within))[:most]
    return order
