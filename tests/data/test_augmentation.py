import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_splits import NUMPY, augment, random_images
from xnn.data import Compose, Cutout, HorizontalFlip, RandomCrop, RandomWindow
from xnn.errors import SettingError
from xnn.random import Random

dtypes = st.sampled_from(["uint8", "float32"])
shapes = st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4))
seeds = st.integers(0, 2**32)


@st.composite
def augmentations(draw, shape):
    side = min(shape[1:3])
    kinds = [
        st.just(HorizontalFlip()),
        st.builds(RandomCrop, st.integers(0, side + 2)),
        st.builds(RandomCrop, st.integers(0, side - 1), st.just("reflect")),
        st.builds(Cutout, st.integers(1, side + 2)),
    ]
    one = st.one_of(kinds)
    return draw(one | st.lists(one, max_size=3).map(lambda several: Compose(tuple(several))))


@given(shape=shapes, dtype=dtypes, seed=seeds, data=st.data())
def test_shape_dtype_and_range_stay_and_backends_agree(backend, shape, dtype, seed, data):
    x = random_images(shape, dtype)
    before = x.copy()
    augmentation = data.draw(augmentations(shape))
    y = augment(backend, augmentation, x, seed)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(x, before)
    assert set(np.unique(y)) <= {0, *np.unique(x)}
    np.testing.assert_array_equal(y, augment(NUMPY, augmentation, x, seed))


@given(shape=shapes, seed=seeds, data=st.data())
def test_no_pixel_comes_from_another_image(backend, shape, seed, data):
    count = shape[0]
    x = np.broadcast_to(np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None], shape).copy()
    y = augment(backend, data.draw(augmentations(shape)), x, seed)
    for number, image in enumerate(y, 1):
        assert set(np.unique(image)) <= {0, number}


@given(shape=shapes, dtype=dtypes, seed=seeds)
def test_the_same_flip_twice_is_identity(backend, shape, dtype, seed):
    x = random_images(shape, dtype)
    np.testing.assert_array_equal(
        augment(backend, HorizontalFlip(), augment(backend, HorizontalFlip(), x, seed), seed), x
    )


def test_about_half_of_the_images_are_flipped(backend):
    x = random_images((1000, 1, 3, 1))
    y = augment(backend, HorizontalFlip(), x)
    flipped = (y == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((y == x).all(axis=(1, 2, 3)) | flipped).all()
    assert 400 < flipped.sum() < 600


@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("reflect", "reflect")])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_crop_is_a_window_of_the_padded_image(backend, fill, mode, dtype):
    pad = 2
    x = random_images((400, 5, 4, 2), dtype)
    y = augment(backend, RandomCrop(pad, fill), x)
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode)
    seen = set()
    for image, around in zip(y, padded, strict=True):
        windows = {
            (top, left)
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
            if np.array_equal(around[top : top + 5, left : left + 4], image)
        }
        assert windows
        seen |= windows
    assert len(seen) == (2 * pad + 1) ** 2


def test_cutout_blanks_a_square(backend):
    size = 3
    x = np.ones((500, 6, 5, 2), np.uint8)
    y = augment(backend, Cutout(size), x)
    assert (y[..., 0] == y[..., 1]).all()
    corners = set()
    for image in y[..., 0]:
        rows, columns = np.nonzero(image.min(axis=1) == 0)[0], np.nonzero(image.min(axis=0) == 0)[0]
        assert (image[np.ix_(rows, columns)] == 0).all()
        assert (image == 0).sum() == len(rows) * len(columns)
        assert 2 <= len(rows) <= size
        assert 2 <= len(columns) <= size
        corners.add((rows[0], rows[-1], columns[0], columns[-1]))
    assert len(corners) == 6 * 5


def test_compose_goes_on_with_the_same_random_stream():
    x = random_images((8, 6, 6, 3))
    random = Random(NUMPY, 5, "augment")
    expected = RandomCrop(2)(HorizontalFlip()(x, random), random)
    np.testing.assert_array_equal(augment(NUMPY, Compose((HorizontalFlip(), RandomCrop(2))), x, 5), expected)


@given(shape=shapes, dtype=dtypes, seed=seeds, data=st.data())
def test_a_window_is_a_square_of_its_own_image(backend, shape, dtype, seed, data):
    size = data.draw(st.integers(1, min(shape[1:3])))
    x = random_images(shape, dtype)
    y = augment(backend, RandomWindow(size), x, seed)
    assert y.shape == (shape[0], size, size, shape[3])
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, augment(NUMPY, RandomWindow(size), x, seed))
    for image, whole in zip(y, x, strict=True):
        squares = np.lib.stride_tricks.sliding_window_view(whole, (size, size), axis=(0, 1))
        assert (squares == np.moveaxis(image, -1, 0)).all(axis=(2, 3, 4)).any()


def test_windows_are_at_all_places(backend):
    x = np.arange(20, dtype=np.uint8).reshape(1, 4, 5, 1).repeat(400, axis=0)
    corners = augment(backend, RandomWindow(2), x)[:, 0, 0, 0]
    assert set(corners.tolist()) == {5 * top + left for top in range(3) for left in range(4)}


def test_impossible_settings_are_refused():
    with pytest.raises(SettingError, match=r"padding of RandomCrop must be 0 or more, not -1"):
        RandomCrop(-1)
    with pytest.raises(SettingError, match=r"zero, reflect, not 'edge'"):
        RandomCrop(1, "edge")
    with pytest.raises(SettingError, match=r"size of Cutout must be at least 1, not 0"):
        Cutout(0)
    with pytest.raises(SettingError, match=r"size of RandomWindow must be at least 1, not 0"):
        RandomWindow(0)
    with pytest.raises(ValueError, match=r"cannot cut 5x5 pixels out of images of 4x6"):
        RandomWindow(5)(np.zeros((1, 4, 6, 1), np.uint8), Random(NUMPY, 0))
    with pytest.raises(ValueError, match=r"cannot reflect 4 pixels of images of 4x6"):
        RandomCrop(4, "reflect")(np.zeros((1, 4, 6, 1), np.uint8), Random(NUMPY, 0))
