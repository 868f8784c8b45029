import numpy as np
import pytest

from xnn.data import load
from xnn.data.digits import read_digits


def test_digits_are_embedded():
    dataset = load("digits")
    assert dataset.image_shape == (8, 8, 1)
    assert (len(dataset.train), len(dataset.test)) == (1437, 360)
    assert dataset.train.images.dtype == np.uint8
    assert (dataset.train.images.min(), dataset.train.images.max()) == (0, 255)


def test_the_split_is_stratified():
    arrays = read_digits()
    train, test = np.bincount(arrays.train_labels), np.bincount(arrays.test_labels)
    assert (np.abs(test - (train + test) / 5) < 1).all()
    images = np.concatenate([arrays.train_images, arrays.test_images])
    assert len(np.unique(images.reshape(1797, -1), axis=0)) == 1797


def test_they_are_those_of_scikit_learn():
    """Rescaled and split, as the module says."""
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    images, labels = ((255 * digits.images.astype(np.int64) + 8) // 16).astype(np.uint8)[..., None], digits.target
    is_test = np.zeros(len(labels), np.bool)
    is_test[np.argsort(labels, kind="stable")[::5]] = True
    expected = images[~is_test], labels[~is_test], images[is_test], labels[is_test]
    for ours, theirs in zip(read_digits()[:4], expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
