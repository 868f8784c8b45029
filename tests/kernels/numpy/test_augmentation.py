"""Images that are gathered, augmented and normalised in one pass are those of the reference, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.augmented import OTHERS, augmentations, shapes, split_of
from xnn import kernels
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

pytest.importorskip("numba")


def epoch_of(split, twins, **options):
    return list(Batches(split, backend=make_backend("numpy", twins=twins), **options).epoch(1))


def assert_equal(split, **options):
    found, expected = epoch_of(split, True, **options), epoch_of(split, False, **options)
    for (x, labels), (expected_x, expected_labels) in zip(found, expected, strict=True):
        assert x.dtype == expected_x.dtype
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(labels, expected_labels)


@pytest.fixture
def calls(monkeypatch):
    """What the twin has prepared; not what it has declined."""
    from xnn.kernels.numpy import augmentation

    prepared, prepare = [], augmentation.prepare_images

    def keep(*arguments):
        x = prepare(*arguments)
        prepared.extend([] if x is None else [x])
        return x

    monkeypatch.setattr(augmentation, "prepare_images", keep)
    return prepared


@given(
    shape=shapes,
    seed=st.integers(0, 2**32),
    normalised=st.booleans(),
    shuffle=st.booleans(),
    batch_size=st.integers(1, 50),
    data=st.data(),
)
def test_batches_equal_the_reference_bit_for_bit(shape, seed, normalised, shuffle, batch_size, data):
    split = split_of(shape)
    assert_equal(
        split,
        batch_size=batch_size,
        normalization=Normalization.of(split) if normalised else None,
        shuffle=shuffle,
        seed=seed,
        augment=data.draw(augmentations(shape)),
    )


@pytest.mark.parametrize(
    "augment",
    [
        None,
        Compose((Cutout(8), HorizontalFlip(), RandomCrop(4), RandomCrop(4, "reflect"))),
        Compose((Cutout(3), Cutout(9), HorizontalFlip(), Cutout(6))),
        Compose((AlternatingFlip(), RandomCrop(2, "reflect"))),
        Compose((RandomCrop(2, "reflect"), RandomWindow(17), Cutout(5))),
    ],
    ids=["plain", "moved", "cut thrice", "alternating", "windows"],
)
@pytest.mark.parametrize("shape", [(600, 32, 32, 3), (600, 28, 28, 1)])
def test_blocks_that_are_shared_among_threads_are_equal_too(shape, augment, calls):
    split = split_of(shape)
    assert_equal(split, batch_size=128, normalization=Normalization.of(split), augment=augment)
    assert len(calls) == 2


def test_a_mapped_file_is_read_and_not_written(tmp_path, calls):
    images = split_of((20, 6, 5, 3)).images
    np.save(tmp_path / "images.npy", images)
    split = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), np.arange(20))
    assert_equal(split, batch_size=8, augment=HorizontalFlip())
    assert len(calls) == 1
    for x, _ in epoch_of(split, True, batch_size=8):
        x[...] = 0
    np.testing.assert_array_equal(split.images, images)


def test_a_batch_stays_when_the_next_ones_are_made():
    split = split_of((1200, 16, 16, 3))
    batches = epoch_of(split, True, batch_size=400, shuffle=False)
    for number, (x, _) in enumerate(batches):
        np.testing.assert_array_equal(x, split.images[400 * number : 400 * (number + 1)])


@pytest.mark.parametrize("augment", OTHERS.values(), ids=OTHERS)
def test_what_it_does_not_cover_is_done_first(augment, calls):
    split = split_of((9, 4, 4, 2))
    assert_equal(split, batch_size=4, augment=augment, normalization=Normalization.of(split))
    assert len(calls) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_it_is_for_bytes_that_become_float32(dtype, kind, calls):
    assert_equal(split_of((9, 4, 4, 2), kind), batch_size=4, augment=RandomCrop(1), dtype=dtype)
    assert len(calls) == (kind is np.uint8 and dtype == "float32")


def test_images_in_another_order_or_rows_take_the_reference(calls):
    images = split_of((9, 4, 6, 2)).images
    assert_equal(Split(images.transpose(0, 2, 1, 3), np.arange(9)), batch_size=4)
    assert_equal(Split(images.reshape(9, -1), np.arange(9)), batch_size=4)
    assert_equal(Split(images, np.arange(9)), batch_size=4, augment=lambda x, random: x[:, ::-1])
    assert not calls


def test_statistics_of_other_channels_take_the_reference(calls):
    split = split_of((9, 4, 4, 3))
    with pytest.raises(ValueError, match="reshape"):
        epoch_of(split, True, batch_size=4, normalization=Normalization((0.0,) * 5, (1.0,) * 5))
    assert_equal(split, batch_size=4, normalization=Normalization((0.5,), (0.25,)))
    assert not calls


def test_an_impossible_reflection_is_refused_alike():
    with pytest.raises(ValueError, match="cannot reflect 4 pixels of images of 4x4"):
        epoch_of(split_of((9, 4, 4, 2)), True, batch_size=4, augment=RandomCrop(4, "reflect"))


def test_there_is_no_such_pass_without_twins():
    assert kernels.single_pass(make_backend("numpy", twins=False), "float32", "prepare_images") is None
