import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_splits import NUMPY, assert_same_batches, augment, random_images
from xnn.data import (
    Batches,
    ColourJitter,
    Compose,
    HorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    Split,
    photographs,
)
from xnn.errors import SettingError
from xnn.random import Random

shapes = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
seeds = st.integers(0, 2**32)
strengths = st.floats(0, 1)
crops = st.builds(
    RandomResizedCrop,
    st.tuples(st.floats(0.01, 0.5), st.floats(0.5, 1)),
    st.tuples(st.floats(0.2, 1), st.floats(1, 5)),
)
rotations = st.builds(RandomRotation, st.floats(0, 180))
jitters = st.builds(ColourJitter, strengths, strengths, strengths)
all_kinds = pytest.mark.parametrize("kind", [RandomResizedCrop, RandomRotation, ColourJitter])
UNCHANGED = [RandomResizedCrop((1.0, 1.0), (1.0, 1.0)), RandomRotation(0.0), ColourJitter(0.0, 0.0, 0.0)]


@given(shape=shapes, seed=seeds, augmentation=crops | rotations | jitters)
def test_shape_and_dtype_stay_and_backends_agree(backend, shape, seed, augmentation):
    x = random_images(shape)
    before = x.copy()
    y = augment(backend, augmentation, x, seed)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(x, before)
    expected = augment(NUMPY, augmentation, x, seed)
    if backend.library == "torch":  # whose sines and roots may differ in the last place, and so a number by 1
        assert np.abs(y.astype(int) - expected).max() <= 1
    else:
        np.testing.assert_array_equal(y, expected)


@given(shape=shapes, seed=seeds, dtype=st.sampled_from(["uint8", "float32", "float64"]), number=st.integers(0, 2))
def test_without_strength_nothing_changes(backend, shape, seed, dtype, number):
    x = random_images(shape, "uint8" if number == 2 else dtype)
    np.testing.assert_array_equal(augment(backend, UNCHANGED[number], x, seed), x)


@given(shape=shapes, seed=seeds, dtype=st.sampled_from(["uint8", "float32"]), augmentation=crops | rotations)
def test_an_interpolated_number_is_between_those_of_its_own_image_and_channel(shape, seed, dtype, augmentation):
    x = random_images(shape, dtype)
    y = augment(NUMPY, augmentation, x, seed)
    low, high = (limit(x, axis=(1, 2), keepdims=True) for limit in (np.min, np.max))
    slack = 0 if dtype == "uint8" else 1e-4
    assert (low - slack <= y).all()
    assert (y <= high + slack).all()


@given(seed=seeds, augmentation=crops | rotations | jitters)
def test_an_image_is_changed_as_by_itself_whatever_is_done_at_once(seed, augmentation):
    x = random_images((7, 6, 5, 3))
    whole = augment(NUMPY, augmentation, x, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "_AT_ONCE", 60)
        np.testing.assert_array_equal(augment(NUMPY, augmentation, x, seed), whole)
    other = x.copy()
    other[1:] = 255 - other[1:]
    np.testing.assert_array_equal(augment(NUMPY, augmentation, other, seed)[0], whole[0])


@all_kinds
def test_batches_are_the_same_wherever_an_epoch_begins(backend, kind):
    split = Split(random_images((30, 6, 5, 3)), np.arange(30))
    batches = Batches(split, 4, backend=backend, seed=3, augment=Compose((HorizontalFlip(), kind())))

    def taken(epoch, start=0):
        return [tuple(backend.to_numpy(each) for each in pair) for pair in batches.epoch(epoch, start)]

    whole = taken(1)
    for start in (1, 5):
        assert_same_batches(taken(1, start), whole[start:])
    assert not np.array_equal(whole[0][0], taken(2)[0][0])


def test_a_crop_of_a_ramp_is_a_gentler_ramp_within_it():
    ramp = np.broadcast_to(np.arange(50.0)[None, :, None, None], (200, 50, 40, 1))
    x = np.concat([ramp, np.broadcast_to(np.arange(40.0)[None, None, :, None], ramp.shape)], axis=-1)
    y = augment(NUMPY, RandomResizedCrop((0.25, 0.81)), x)
    # Away from the edges, where the outermost pixels stand for what is beyond.
    rows, columns = (np.diff(y[:, 2:-2, 2:-2, axis], axis=axis + 1) for axis in (0, 1))
    slopes = [each.reshape(200, -1) for each in (rows, columns)]
    for slope in slopes:
        assert np.ptp(slope, axis=1).max() < 1e-9
    high, wide = (slope[:, 0] for slope in slopes)
    area, ratio = high * wide, wide / high
    assert 0.25 - 1e-9 <= area.min() < 0.3
    assert 0.75 < area.max() <= 0.81 + 1e-9
    assert 0.75 - 1e-9 <= ratio.min() < 0.8
    assert 1.25 < ratio.max() <= 4 / 3 + 1e-9
    # Everywhere in the image.
    middles = y[:, 24:26, 0, 0].mean(axis=1)
    assert middles.min() < 15
    assert middles.max() > 34


@pytest.mark.parametrize(("angle", "turned"), [(90, 1), (180, 2), (-90, 3)])
@pytest.mark.parametrize("side", [5, 6])
def test_a_quarter_turn_is_one(monkeypatch, angle, turned, side):
    monkeypatch.setattr(photographs, "_between", lambda random, low, high, count: np.full(count, np.radians(angle)))
    x = random_images((2, side, side, 3))
    np.testing.assert_array_equal(augment(NUMPY, RandomRotation(), x), np.rot90(x, -turned, axes=(1, 2)))


def test_angles_are_to_both_sides_up_to_the_greatest():
    x = np.broadcast_to(np.arange(101.0)[None, :, None, None], (300, 101, 101, 1))
    y = augment(NUMPY, RandomRotation(20.0), x)
    middle = y[:, 49:52, 49:52, 0]
    angles = np.degrees(np.arctan2(middle[:, 1, 0] - middle[:, 1, 2], middle[:, 2, 1] - middle[:, 0, 1]))
    assert 18 < angles.max() <= 20
    assert -20 <= angles.min() < -18


@given(
    position=st.floats(-1e4, 1e4),
    size=st.integers(1, 9),
)
def test_beyond_the_edges_an_image_is_mirrored(position, size):
    found = float(photographs._mirrored(NUMPY.xp, np.asarray([position]), size)[0])
    grid = np.pad(np.arange(size, dtype=float), (size, size), "reflect") if size > 1 else np.zeros(3)
    if size > 1 and -size < position < 2 * size - 1:
        expected = np.interp(position, np.arange(-size, 2 * size), grid)
        assert found == pytest.approx(expected, abs=1e-9)
    assert 0 <= found <= max(size - 1, 1)


def jittered(monkeypatch, x, bright=1.0, contrast=1.0, saturation=1.0):
    factors = iter((bright, contrast, saturation))
    monkeypatch.setattr(photographs, "_between", lambda random, low, high, count: np.full(count, next(factors)))
    return augment(NUMPY, ColourJitter(), x).astype(int)


def test_brightness_contrast_and_saturation_are_what_pillow_makes_of_an_image(monkeypatch):
    from PIL import Image, ImageEnhance

    x = random_images((1, 9, 7, 3))
    for kind, name in (("Brightness", "bright"), ("Contrast", "contrast"), ("Color", "saturation")):
        for factor in (0.0, 0.6, 1.3):
            expected = np.asarray(getattr(ImageEnhance, kind)(Image.fromarray(x[0])).enhance(factor)).astype(int)
            found = jittered(monkeypatch, x, **{name: factor})[0]
            assert np.abs(found - expected).max() <= 2, (kind, factor)  # Pillow rounds in between


def test_the_three_are_done_in_turn_and_clipped_once(monkeypatch):
    x = random_images((1, 4, 4, 3))
    y = x.astype(float) * 1.2
    luma = np.asarray([0.299, 0.587, 0.114])
    y = 0.7 * y + 0.3 * (y @ luma).mean()
    y = 1.4 * y - 0.4 * (y @ luma)[..., None]
    np.testing.assert_allclose(jittered(monkeypatch, x, 1.2, 0.7, 1.4), np.clip(y, 0, 255), atol=0.51)


@pytest.mark.parametrize("channels", [1, 2])
def test_grey_images_have_no_saturation_and_others_the_mean_of_their_channels(monkeypatch, channels):
    x = random_images((3, 4, 4, channels))
    expected = np.broadcast_to(np.round(x.mean(axis=-1, keepdims=True)), x.shape)
    np.testing.assert_array_equal(jittered(monkeypatch, x, saturation=0.0), expected)


def test_impossible_settings_are_refused():
    for scale in ((0.0, 1.0), (0.5, 0.4), (0.5, 1.1)):
        with pytest.raises(SettingError, match=r"scale of RandomResizedCrop must be two shares"):
            RandomResizedCrop(scale)
    for ratio in ((0.0, 1.0), (2.0, 1.0), (1.0, np.inf)):
        with pytest.raises(SettingError, match=r"ratio of RandomResizedCrop must be two numbers above 0"):
            RandomResizedCrop(ratio=ratio)
    with pytest.raises(SettingError, match=r"degrees of RandomRotation must be from 0 to 180, not -1"):
        RandomRotation(-1)
    with pytest.raises(SettingError, match=r"contrast of ColourJitter must be from 0 to 1, not 1\.5"):
        ColourJitter(contrast=1.5)
    with pytest.raises(TypeError, match="ColourJitter needs uint8 images, not float32"):
        ColourJitter()(np.zeros((1, 2, 2, 3), np.float32), Random(NUMPY, 0))
