"""Arrays become PNG files."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xnn.data.png import as_uri, data_uri, png


@given(seed=st.integers(0, 99), shape=st.sampled_from([(3, 4), (3, 4, 1), (3, 4, 3), (3, 4, 4)]))
def test_a_png_holds_the_pixels(seed, shape):
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(png(image))) as picture:
        np.testing.assert_array_equal(np.asarray(picture).reshape(shape), image)
    assert data_uri(image) == as_uri(png(image))
    assert data_uri(image).startswith("data:image/png;base64,")


@pytest.mark.parametrize("smallest", [True, False])
def test_how_small_it_is_changes_no_pixel(smallest):
    image = np.arange(96, dtype=np.uint8).reshape(8, 4, 3)
    with Image.open(io.BytesIO(png(image, smallest=smallest))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), image)
