import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xnn.data import Dataset, Split, validation_split
from xnn.data.splits import class_labels
from xnn.errors import DataError, SettingError


def numbered(count: int) -> Split:
    """Return a split whose images tell their own number."""
    images = np.arange(count, dtype=np.int64).reshape(count, 1, 1, 1)
    return Split(images, np.arange(count) % 10)


LABELS = st.lists(st.integers(0, 6), min_size=2, max_size=120)


def label_split(labels: list[int]) -> Split:
    """Return a split whose images tell their own number."""
    return Split(np.arange(len(labels)).reshape(-1, 1, 1, 1), labels)


@given(labels=LABELS, data=st.data(), seed=st.integers(0, 2**32))
def test_validation_split_divides_the_images(labels, data, seed):
    count = len(labels)
    size = data.draw(st.integers(1, count - 1) | st.floats(0.6 / count, 1 - 0.6 / count))
    train, validation = validation_split(label_split(labels), size, seed)
    first, second = train.images.ravel(), validation.images.ravel()
    assert sorted([*first, *second]) == list(range(count))
    assert isinstance(size, float) or len(validation) == size
    for part in (train, validation):
        assert (np.diff(part.images.ravel()) > 0).all()
        np.testing.assert_array_equal(part.labels, np.array(labels)[part.images.ravel()])
    again = validation_split(label_split(labels), size, seed)
    np.testing.assert_array_equal(again[1].images, validation.images)


@given(labels=LABELS, data=st.data())
def test_every_class_gives_the_same_share(labels, data):
    count = len(labels)
    size = data.draw(st.integers(1, count - 1) | st.floats(0.6 / count, 1 - 0.6 / count))
    _, validation = validation_split(label_split(labels), size)
    share = (size if isinstance(size, int) else round(size * count)) / count
    for label in set(labels):
        images = labels.count(label)
        held = int((validation.labels == label).sum())
        if images > 1 or isinstance(size, int):
            assert abs(held - share * images) < 1


@given(labels=LABELS.filter(lambda labels: len(set(labels)) < len(labels)), share=st.floats(0.01, 0.99))
def test_a_fraction_leaves_images_of_each_class_on_both_sides(labels, share):
    assume(0 < round(share * len(labels)) < len(labels))
    train, validation = validation_split(label_split(labels), share)
    assert set(train.labels) == set(labels)
    assert set(validation.labels) == {label for label in labels if labels.count(label) > 1}


@given(labels=LABELS, share=st.floats(0.2, 0.8), seed=st.integers(0, 9))
def test_other_classes_do_not_change_what_is_held_back_of_one(labels, share, seed):
    """All that counts of it is how many."""
    doubled = [*labels, *(label + 7 for label in labels)]
    sides = []
    for given_ in (labels, doubled):
        _, validation = validation_split(label_split(given_), len(given_) // 2, seed)
        sides.append([image for image in validation.images.ravel().tolist() if image < len(labels)])
    for label in set(labels):
        chosen = [[image for image in side if labels[image] == label] for side in sides]
        if len(chosen[0]) == len(chosen[1]):
            assert chosen[0] == chosen[1]


@pytest.mark.parametrize(
    ("sizes", "size", "held"),
    [
        ([40, 40, 40], 0.2, [8, 8, 8]),
        ([40, 41, 39], 24, [8, 8, 8]),
        ([2, 2, 2, 50], 0.1, [1, 1, 1, 5]),
        ([1, 3, 20], 0.2, [0, 1, 4]),
        ([1, 1, 1], 2, [1, 1, 0]),
        ([10, 10, 10], 2, [1, 1, 0]),
        ([3, 3], 0.7, [2, 2]),
    ],
)
def test_the_shares_are_rounded_by_the_largest_remainders(sizes, size, held):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    _, validation = validation_split(label_split(labels.tolist()), size)
    assert np.bincount(validation.labels, minlength=len(sizes)).tolist() == held


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
    with pytest.raises(DataError, match=r"images must be numbers, not of type <U3"):
        Split(["cat", "dog"], [0, 1])
    with pytest.raises(DataError, match=r"images cannot be made a NumPy array"):
        Split([[1, 2], [3]], [0, 1])
    with pytest.raises(DataError, match=r"at least one image"):
        Split(images[:0], np.zeros(0, np.int64))


@given(
    classes=st.lists(st.integers(0, 99), min_size=1, max_size=9),
    form=st.sampled_from(["u1", ">u2", "<i4", ">i8", "u8", ">u8", "f2", "f4", ">f8", "O", list, tuple]),
)
def test_labels_of_any_whole_numbers_are_taken(classes, form):
    given_ = np.array(classes, form) if isinstance(form, str) else form(classes)
    split = Split(np.zeros((len(classes), 1)), given_)
    assert split.labels.tolist() == classes
    assert split.labels.dtype == np.int64
    assert split.labels.dtype.isnative


def test_booleans_are_two_classes():
    assert class_labels([True, False]).tolist() == [1, 0]


def test_halves_of_floats_are_compared_without_a_warning():
    assert class_labels(np.array([2, 1], np.float16)).tolist() == [2, 1]


def test_labels_of_int64_are_not_copied():
    labels = np.arange(5)
    assert class_labels(labels) is labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, -1], "label -1 of image 1 is not a class; classes are whole numbers from 0"),
        (np.array([0, -1], np.int8), "label -1 of image 1 is not a class"),
        (np.array([2**63], np.uint64), "label 9223372036854775808 of image 0 is not a class"),
        ([1, 2**70], f"label {2**70} of image 1 is not a class"),
        ([1, 10**5000], "label of more than 100 bits of image 1 is not a class"),
        ([0.5], "label 0.5 of image 0 is not a class"),
        ([1.0, float("nan")], "label nan of image 1 is not a class"),
        ([float("inf")], "label inf of image 0 is not a class"),
        ([-1.0], "label -1.0 of image 0 is not a class"),
        ([2.0**63], r"label 9.223372036854776e\+18 of image 0 is not a class"),
        (["cat", "dog"], "but 'cat' is not; numpy.unique.labels, return_inverse=True. turns names of classes"),
        (np.array([3, "cat"], object), "but 'cat' is not; "),
        (np.array(["cat"], np.dtypes.StringDType()), "but 'cat' is not; "),
        ([b"cat"], "but \"b'cat'\" is not; "),
        (["x" * 10_000], "but 'x{59} is not; "),
        ([None], "but 'None' is not; "),
        ([1 + 2j], "not of type complex128"),
        (np.array(["2020"], "M8[Y]"), "not of type datetime64"),
        (np.eye(3), r"not of shape \(3, 3\); of one column for each class take argmax.axis=1."),
        (7, r"not of shape \(\)$"),
        ([[1], [1, 2]], "labels cannot be made a NumPy array"),
    ],
)
def test_what_is_no_class_is_refused_by_name(labels, message):
    with pytest.raises(DataError, match=message) as caught:
        class_labels(labels)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_dataset_refuses_splits_that_do_not_fit():
    good = Split(np.zeros((3, 2, 2, 1), np.uint8), np.array([0, 1, 2]))
    other = Split(np.zeros((3, 2, 3, 1), np.uint8), np.array([0, 1, 2]))
    with pytest.raises(DataError, match=r"shapes: label 2 of image 2 is out of range; the 2 classes"):
        Dataset("shapes", good, good, ("a", "b"), "here")
    with pytest.raises(DataError, match=r"shapes: training images"):
        Dataset("shapes", good, other, ("a", "b", "c"), "here")
    assert Dataset("shapes", good, good, ("a", "b", "c"), "here").image_shape == (2, 2, 1)


def test_a_split_says_what_it_holds():
    images = np.zeros((1437, 8, 6, 1), np.uint8)
    assert repr(Split(images, np.arange(1437) % 10)) == "Split(1,437 images of 8x6x1, uint8, 10 classes)"
    assert repr(Split(np.zeros((1, 5)), [3])) == "Split(1 image of 5, float64, 1 class)"
