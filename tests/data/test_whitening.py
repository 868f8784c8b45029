import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.data import load, whitening_filters


def images_of(shape, seed=0):
    """Smooth images: neighbours have much in common, as in photographs."""
    x = np.random.default_rng(seed).normal(size=shape)
    return x + np.roll(x, 1, axis=1) + np.roll(x, 1, axis=2) + 0.5 * x.mean(axis=-1, keepdims=True)


kernels = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(kernel=kernels, channels=st.integers(1, 3), seed=st.integers(0, 2**32 - 1), count=st.integers(60, 300))
def test_the_filters_make_patches_white(kernel, channels, seed, count):
    images = images_of((count, 7, 6, channels), seed)
    filters = whitening_filters(images, kernel, eps=1e-12)
    size = kernel[0] * kernel[1] * channels
    assert filters.shape == (*kernel, channels, 2 * size)
    outputs, _ = F.conv2d(images, filters[..., :size])
    flat = outputs.reshape(-1, size)
    np.testing.assert_allclose(flat.T @ flat / len(flat), np.eye(size), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(filters[..., size:], -filters[..., :size])


def test_the_strongest_direction_comes_first_and_signs_are_settled():
    images = images_of((200, 8, 8, 3))
    filters = whitening_filters(images)[..., :12].reshape(12, 12)
    norms = np.linalg.norm(filters, axis=0)
    assert (np.diff(norms) >= 0).all()
    assert (filters[np.abs(filters).argmax(axis=0), np.arange(12)] > 0).all()


def test_eps_bounds_the_filters():
    """Constant images have one direction; the others must not be divided by nothing."""
    filters = whitening_filters(np.ones((10, 5, 5, 2)), eps=0.01)
    assert np.isfinite(filters).all()
    assert np.linalg.norm(filters.reshape(-1, 16), axis=0).max() <= 10 + 1e-9


def test_the_number_of_images_at_once_does_not_matter(monkeypatch):
    images = images_of((50, 5, 5, 2)).astype(np.float32)
    expected = whitening_filters(images)
    monkeypatch.setattr("xnn.data.whitening._CHUNK", 7)
    np.testing.assert_allclose(whitening_filters(images), expected, rtol=0, atol=1e-8)


def test_real_images():
    images = load("digits").train.images / 255.0
    filters = whitening_filters(images, eps=0.0)[..., :4]
    outputs, _ = F.conv2d(images, filters)
    np.testing.assert_allclose(np.mean(outputs**2, axis=(0, 1, 2)), 1.0, rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 5, 5, 1), (3, 1, 5, 1), (3, 5, 1, 1)])
def test_images_without_patches_are_refused(shape):
    with pytest.raises(ValueError, match=r"whitening_filters needs images of 2x2 or more"):
        whitening_filters(np.zeros(shape))
