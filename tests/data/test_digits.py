import numpy as np
import pytest

from xnn.data import load
from xnn.data.digits import read_digits, stored_form


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
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    for found, expected in zip(read_digits(), stored_form(digits.images, digits.target), strict=True):
        np.testing.assert_array_equal(found, expected)
