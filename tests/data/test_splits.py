import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.data import Dataset, Split, validation_split
from xnn.errors import DataError, SettingError


def numbered(count: int) -> Split:
    """Return a split whose images tell their own number."""
    images = np.arange(count, dtype=np.int64).reshape(count, 1, 1, 1)
    return Split(images, np.arange(count) % 10)


@given(count=st.integers(2, 200), data=st.data(), seed=st.integers(0, 2**32))
def test_validation_split_divides_the_images(count, data, seed):
    size = data.draw(st.integers(1, count - 1) | st.floats(0.6 / count, 1 - 0.6 / count))
    train, validation = validation_split(numbered(count), size, seed)
    first, second = train.images.ravel(), validation.images.ravel()
    assert sorted([*first, *second]) == list(range(count))
    assert len(validation) == (size if isinstance(size, int) else round(size * count))
    for part in (train, validation):
        assert (np.diff(part.images.ravel()) > 0).all()
        np.testing.assert_array_equal(part.labels, part.images.ravel() % 10)
    again = validation_split(numbered(count), size, seed)
    np.testing.assert_array_equal(again[1].images, validation.images)


def test_validation_split_depends_on_the_seed():
    images = [validation_split(numbered(100), 0.5, seed)[0].images.ravel().tolist() for seed in (0, 1)]
    assert images[0] != images[1]


@pytest.mark.parametrize("size", [0, 10, 11, -1, 0.0, 1.0, 1.5, -0.1, 0.01, 0.99, float("nan"), float("inf")])
def test_validation_split_refuses_an_empty_side(size):
    with pytest.raises(SettingError, match=r"out of 10 images"):
        validation_split(numbered(10), size)


def test_split_refuses_what_does_not_fit():
    images = np.zeros((3, 2, 2, 1), np.uint8)
    with pytest.raises(DataError, match=r"\(3, 2, 2, 1\) do not fit 4 labels"):
        Split(images, np.zeros(4, np.int64))
    with pytest.raises(DataError, match=r"integers, not float64"):
        Split(images, np.zeros(3))
    with pytest.raises(DataError, match=r"at least one image"):
        Split(images[:0], np.zeros(0, np.int64))


def test_dataset_refuses_splits_that_do_not_fit():
    good = Split(np.zeros((3, 2, 2, 1), np.uint8), np.array([0, 1, 2]))
    other = Split(np.zeros((3, 2, 3, 1), np.uint8), np.array([0, 1, 2]))
    with pytest.raises(DataError, match=r"shapes: label 2 of image 2 is out of range; the 2 classes"):
        Dataset("shapes", good, good, ("a", "b"), "here")
    with pytest.raises(DataError, match=r"shapes: training images"):
        Dataset("shapes", good, other, ("a", "b", "c"), "here")
    assert Dataset("shapes", good, good, ("a", "b", "c"), "here").image_shape == (2, 2, 1)
