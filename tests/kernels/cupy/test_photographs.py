"""Photographs that are changed in one launch are those of the reference on NumPy, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.backends import backend as make_backend
from xnn.data import ColourJitter, RandomResizedCrop, RandomRotation, photographs
from xnn.random import Random

pytest.importorskip("cupy")
import cupy

from xnn.kernels.cupy import photographs as twins
from xnn.kernels.cupy import pixels
from xnn.kernels.cupy.launching import watched

shapes = st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
seeds = st.integers(0, 2**32)


def images_of(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def positions(random, count, side, shape):
    """Between pixels, on them, and beyond the outermost ones."""
    found = random.uniform(-3.0, side + 2.0, (count, *shape))
    return np.where(random.random(found.shape) < 0.3, np.round(found), found)


def check_sampling(shape, seed, row_whole=False, column_whole=False):
    images, random = images_of(shape), np.random.default_rng(seed)
    count, height, width, _ = shape
    row = positions(random, count, height, (height, width if row_whole else 1))
    column = positions(random, count, width, (height if column_whole else 1, width))
    expected = photographs._sampled(images, row, column, Random(make_backend("numpy"), 0))
    row, column = map(cupy.asarray, (row, column))
    found = twins.sample_images(cupy.asarray(images), lambda part: (row[part], column[part]))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(cupy.asnumpy(found), expected)


@pytest.mark.races
@given(shape=shapes, seed=seeds, row_whole=st.booleans(), column_whole=st.booleans())
def test_sampling_equals_the_reference(shape, seed, row_whole, column_whole):
    check_sampling(shape, seed, row_whole, column_whole)


@pytest.mark.races
@given(shape=shapes, seed=seeds, strengths=st.tuples(*(st.floats(0, 1),) * 3))
def test_jitter_equals_the_reference(shape, seed, strengths):
    jitter, images = ColourJitter(*strengths), images_of(shape)
    found = jitter(cupy.asarray(images), Random(make_backend("cupy", twins=True), seed))
    np.testing.assert_array_equal(cupy.asnumpy(found), jitter(images, Random(make_backend("numpy"), seed)))


def test_images_and_pixels_beyond_the_grid_are_reached(monkeypatch):
    for name, most in {"_THREADS": 32, "_MOST_PARTS": 2, "_MOST_IMAGES": 3}.items():
        monkeypatch.setattr(pixels, name, most)
    check_sampling((8, 11, 13, 3), 1)
    test_jitter_equals_the_reference.hypothesis.inner_test((8, 11, 13, 3), 1, (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("augment", "name", "moved"),
    [
        (RandomResizedCrop(), "sample_images", 2 * 3 * 4 * 5 * 3 + 8 * 3 * (4 + 5)),
        (RandomRotation(), "sample_images", 2 * 3 * 4 * 5 * 3 + 8 * 3 * 2 * 4 * 5),
        (ColourJitter(), "jitter_colours", 3 * 3 * 4 * 5 * 3 + 8 * 3 * 3),
    ],
    ids=["crop", "rotation", "jitter"],
)
def test_each_is_one_launch_over_all_images(monkeypatch, augment, name, moved):
    monkeypatch.setattr(photographs, "_AT_ONCE", 1)
    seen = {}
    with watched(seen.__setitem__):
        augment(cupy.asarray(images_of((3, 4, 5, 3))), Random(make_backend("cupy", twins=True), 0))
    assert seen[name] == moved


@pytest.mark.parametrize("at_once", [1, 60, 121])
def test_many_images_are_sampled_in_pieces(monkeypatch, at_once):
    """The positions of one pixel take 16 bytes, and making them several times that."""
    monkeypatch.setattr(twins, "_AT_ONCE", at_once)
    check_sampling((7, 6, 10, 3), 0, True, True)


def test_no_positions_are_made_for_other_images():
    assert twins.sample_images(cupy.ones((2, 3, 4, 1), np.float32), None) is None


@pytest.mark.parametrize("augment", [RandomResizedCrop(), RandomRotation()], ids=["crop", "rotation"])
def test_floats_take_the_reference(augment):
    images, seen = images_of((2, 5, 6, 3)) / 8, []
    with watched(lambda name, moved: seen.append(name)):
        found = augment(cupy.asarray(images), Random(make_backend("cupy", twins=True), 1))
    assert "sample_images" not in seen
    np.testing.assert_allclose(cupy.asnumpy(found), augment(images, Random(make_backend("numpy"), 1)), rtol=1e-12)


def test_more_channels_than_the_kernel_has_weights_for_take_the_reference():
    images = images_of((2, 5, 6, 9))
    found = ColourJitter()(cupy.asarray(images), Random(make_backend("cupy", twins=True), 1))
    np.testing.assert_array_equal(cupy.asnumpy(found), ColourJitter()(images, Random(make_backend("numpy"), 1)))
