"""Small images in memory, and what may be done to them, for the tests of several modules."""

import numpy as np

from xnn.backends import backend as make_backend
from xnn.data import AlternatingFlip, Compose, Cutout, FirstEpochs, HorizontalFlip, RandomCrop, RandomWindow, Split
from xnn.random import Random

NUMPY = make_backend("numpy")
FLIPS = Compose((HorizontalFlip(), Compose((AlternatingFlip(),))))
AUGMENT = Compose((FLIPS, RandomCrop(1, "reflect"), Cutout(2), FirstEpochs(RandomWindow(2), 3)))


def random_images(shape, dtype="uint8"):
    return np.random.default_rng(0).integers(1, 256, shape).astype(dtype)


def split_of(count, dtype="uint8"):
    """Return a split in which a label is the image's number."""
    return Split(random_images((count, 4, 3, 2), dtype), np.arange(count))


def augment(backend, augmentation, x, seed=0):
    return backend.to_numpy(augmentation(backend.asarray(x), Random(backend, seed, "augment")))


def assert_same_batches(found, expected):
    for pair, expected_pair in zip(found, expected, strict=True):
        for array, expected_array in zip(pair, expected_pair, strict=True):
            assert array.dtype == expected_array.dtype
            np.testing.assert_array_equal(array, expected_array)
