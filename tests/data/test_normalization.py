import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from xnn.data import Normalization, Split

images = npst.arrays(np.uint8, npst.array_shapes(min_dims=4, max_dims=4, max_side=6))


def split_of(x):
    return Split(x, np.zeros(len(x), np.int64))


@given(x=images)
def test_statistics_are_those_of_the_pixels(x):
    found = Normalization.of(split_of(x))
    pixels = x.reshape(-1, x.shape[-1]) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-12)
    std = pixels.std(axis=0)
    np.testing.assert_allclose(found.std, np.where(np.ptp(pixels, axis=0) == 0, 1, std), rtol=1e-9, atol=1e-9)


def test_statistics_of_many_bright_images_are_exact():
    x = np.full((1500, 3, 3, 2), 255, np.uint8)
    x[:, :, :, 1] = np.arange(1500)[:, None, None] % 251
    found = Normalization.of(split_of(x))
    pixels = x[..., 1] / 255
    assert found.mean == pytest.approx((1.0, pixels.mean()), rel=1e-14)
    assert found.std == pytest.approx((1.0, pixels.std()), rel=1e-12)


@given(x=images, data=st.data())
def test_normalization_is_its_formula(backend, x, data):
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    channels = x.shape[-1]
    numbers = st.lists(st.floats(0.05, 1), min_size=channels, max_size=channels).map(tuple)
    normalization = Normalization(data.draw(numbers), data.draw(numbers))
    y = normalization(backend.asarray(x), dtype)
    assert y.dtype == backend.dtype(dtype)
    expected = (x / 255 - np.array(normalization.mean)) / np.array(normalization.std)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(backend.to_numpy(y), expected, rtol=tolerance, atol=tolerance)


def test_floats_are_refused():
    with pytest.raises(TypeError, match=r"uint8 images, not float64"):
        Normalization.of(split_of(np.zeros((2, 3, 3, 1))))
