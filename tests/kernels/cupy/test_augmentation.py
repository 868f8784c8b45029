"""Images that one launch gathers, augments and normalises are those of the reference on NumPy, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.augmented import OTHERS, augmentations, one_of, shapes, split_of
from xnn.backends import backend as make_backend
from xnn.data import (
    AlternatingFlip,
    Batches,
    Compose,
    Cutout,
    HorizontalFlip,
    Normalization,
    RandomCrop,
    RandomWindow,
    Split,
)
from xnn.data.augmentation import Mirror, Step
from xnn.random import Random

pytest.importorskip("cupy")
from xnn.kernels.cupy import augmentation, pixels
from xnn.kernels.cupy.launching import watched


def epoch_of(split, backend, **options):
    to_numpy = backend.to_numpy
    return [(to_numpy(x), to_numpy(labels)) for x, labels in Batches(split, backend=backend, **options).epoch(1)]


def assert_equal(split, resident=None, **options):
    found = epoch_of(split, make_backend("cupy", twins=True), resident=resident, **options)
    expected = epoch_of(split, make_backend("numpy", twins=False), **options)
    for (x, labels), (expected_x, expected_labels) in zip(found, expected, strict=True):
        assert x.dtype == expected_x.dtype
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(labels, expected_labels)


PREPARE = "prepare_images<float>"


class Launches:
    """What is launched, and how many bytes are moved by each launch that makes a block."""

    def __init__(self):
        self.names, self.prepared = [], []

    def __call__(self, name, moved):
        self.names.append(name)
        if name == PREPARE:
            self.prepared.append(moved)


@pytest.fixture
def launches():
    seen = Launches()
    with watched(seen):
        yield seen


@given(
    shape=shapes,
    seed=st.integers(0, 2**32),
    normalised=st.booleans(),
    shuffle=st.booleans(),
    resident=st.booleans(),
    batch_size=st.integers(1, 50),
    data=st.data(),
)
def test_batches_equal_the_reference_bit_for_bit(shape, seed, normalised, shuffle, resident, batch_size, data):
    split = split_of(shape)
    assert_equal(
        split,
        resident,
        batch_size=batch_size,
        normalization=Normalization.of(split) if normalised else None,
        shuffle=shuffle,
        seed=seed,
        augment=data.draw(augmentations(shape)),
    )


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(
    "augment",
    [
        None,
        Compose((Cutout(8), HorizontalFlip(), RandomCrop(4), RandomCrop(4, "reflect"))),
        Compose((AlternatingFlip(), RandomCrop(40), Cutout(3), Cutout(9))),
        Compose((RandomCrop(2, "reflect"), RandomWindow(17), Cutout(5))),
    ],
    ids=["plain", "moved", "cut twice", "window"],
)
def test_images_of_many_blocks_of_threads_take_one_launch(launches, augment, resident):
    split = split_of((5, 33, 35, 3))
    assert_equal(split, resident, batch_size=5, normalization=Normalization.of(split), augment=augment)
    assert len(launches.prepared) == 1


def test_images_and_pixels_beyond_the_grid_are_reached(monkeypatch):
    for name, most in {"_THREADS": 32, "_MOST_PARTS": 2, "_MOST_IMAGES": 3}.items():
        monkeypatch.setattr(pixels, name, most)
    assert_equal(split_of((8, 11, 13, 2)), batch_size=8, augment=RandomCrop(2))


def test_only_the_images_of_the_batch_are_read(launches):
    split = split_of((40, 6, 5, 3))
    options = {"batch_size": 40, "normalization": Normalization.of(split)}
    assert_equal(split, **options, augment=Compose((RandomCrop(1), HorizontalFlip(), RandomWindow(4))))
    assert_equal(split, shuffle=False, augment=None, batch_size=40)
    indices, drawn, factors = 40 * 8, 40 * 8 * (2 + 1 + 2), 2 * 3 * 4
    window, whole = 40 * 4 * 4 * 3, 40 * 6 * 5 * 3
    assert launches.prepared == [(1 + 4) * window + indices + drawn + factors, (1 + 4) * whole]


@pytest.mark.parametrize("augment", OTHERS.values(), ids=OTHERS)
def test_before_what_it_does_not_cover_images_are_gathered_and_changed(launches, augment):
    split = split_of((9, 4, 4, 2))
    assert_equal(split, batch_size=4, augment=augment, normalization=Normalization.of(split))
    assert launches.prepared == [(1 + 4) * split.images.size + 2 * 2 * 4]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_it_is_for_bytes_that_become_float32(launches, dtype, kind):
    assert_equal(split_of((9, 4, 4, 2), kind), batch_size=4, augment=RandomCrop(1), dtype=dtype)
    assert len(launches.prepared) == (kind is np.uint8 and dtype == "float32")


def test_images_in_another_order_or_rows_take_the_reference(launches):
    split = split_of((9, 4, 6, 2))
    assert_equal(split, batch_size=4, augment=lambda x, random: x[:, ::-1])
    assert_equal(Split(split.images.reshape(9, -1), np.arange(9)), batch_size=4)
    assert launches.names == []


def test_drawn_numbers_of_another_type_take_the_reference(launches):
    split = split_of((9, 4, 6, 2))
    assert_equal(split, batch_size=9, augment=Mirror(np.arange(9, dtype=np.int32) % 2))
    assert launches.names == [PREPARE]
    assert_equal(split, batch_size=9, augment=Mirror(np.arange(9) % 2))
    assert launches.names == [PREPARE] * 2


def test_statistics_of_other_channels_take_the_reference(launches):
    split = split_of((9, 4, 4, 3))
    with pytest.raises(ValueError, match="reshape"):
        assert_equal(split, batch_size=4, normalization=Normalization((0.0,) * 5, (1.0,) * 5))
    assert_equal(split, batch_size=4, normalization=Normalization((0.5,), (0.25,)))
    assert not launches.prepared


@given(shape=shapes, seed=st.integers(0, 2**32), data=st.data())
def test_one_step_on_its_own_is_a_launch_too(shape, seed, data):
    augment = data.draw(one_of(min(shape[1:3])) | st.builds(RandomWindow, st.integers(1, min(shape[1:3]))))
    if isinstance(augment, AlternatingFlip):
        augment = augment.of(np.arange(shape[0]), seed, 1)
    images, cupy, numpy = split_of(shape).images, make_backend("cupy", twins=True), make_backend("numpy", twins=False)
    seen = Launches()
    with watched(seen):
        changed = augment(cupy.asarray(images), Random(cupy, seed))
    assert seen.names[-1] == "prepare_images<unsigned char>"
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(cupy.to_numpy(changed), augment(images, Random(numpy, seed)))


def test_a_step_of_another_kind_takes_the_reference():
    images, zeros = map(make_backend("cupy").asarray, (split_of((3, 4, 4, 2)).images, np.zeros(3, np.int64)))
    assert augmentation.change_images(images, Step("shift", zeros, zeros)) is not None
    assert augmentation.change_images(images, Step("another kind", zeros, zeros)) is None


def test_the_draws_of_a_block_are_a_launch_each(launches):
    assert_equal(split_of((8, 6, 6, 1)), batch_size=8, augment=Compose((RandomCrop(1), HorizontalFlip(), Cutout(2))))
    assert launches.names == ["integers"] * 4 + [PREPARE]
