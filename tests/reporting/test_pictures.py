"""A user's picture becomes what the model would have seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.data.png import png
from xnn.errors import DataError
from xnn.reporting.pictures import read_picture

SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (5, 9, 3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


def pixels(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@given(seed=st.integers(0, 99), shape=st.sampled_from(SHAPES))
def test_a_picture_of_the_models_size_keeps_every_pixel(folder, seed, shape):
    image = pixels(seed, shape)
    (folder / "same.png").write_bytes(png(image))
    np.testing.assert_array_equal(read_picture(folder / "same.png", shape), image)
    np.testing.assert_array_equal(read_picture(folder / "same.png", shape, invert=True), 255 - image)


def test_what_is_no_picture_is_named(folder):
    with pytest.raises(DataError, match=r"nowhere\.png: not a readable picture \(No such file"):
        read_picture(folder / "nowhere.png", (8, 8, 1))
    with pytest.raises(DataError, match="not a readable picture"):
        read_picture(folder, (8, 8, 1))
    with pytest.raises(DataError, match="takes images of 4 channels"):
        read_picture(folder / "nowhere.png", (8, 8, 4))
