"""Pictures of any size and kind become images of one size, the same ones for training and for an answer."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xnn.data import load
from xnn.data.folder import list_folder
from xnn.data.listing import automatic_size, read_listing
from xnn.errors import SettingError
from xnn.reporting.pictures import read_picture

SIDES = st.integers(1, 90)


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)


def fill(root, sizes, mode="RGB"):
    """Write a picture of each size, of two classes, half of them for the test."""
    for number, (width, height) in enumerate(sizes):
        place = root / ("train", "test")[number // 2 % 2] / "ab"[number % 2] / f"{number}.png"
        # Noise is as large compressed, and that takes seconds where it is large.
        save(place, Image.fromarray(noise(number, height, width, 3)).convert(mode), compress_level=0)


@given(
    sizes=st.lists(st.tuples(SIDES, SIDES), min_size=4, max_size=8),
    side=st.integers(1, 40),
    mode=st.sampled_from(["RGB", "L", "RGBA", "P"]),
)
def test_every_size_ends_as_the_square_that_is_asked_for(sizes, side, mode):
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), sizes, mode)
        arrays = read_listing(list_folder(Path(folder)), side).arrays
        channels = 1 if mode == "L" else 3
        assert {images.shape[1:] for images in (arrays.train_images, arrays.test_images)} == {(side, side, channels)}
        for place, image in zip(
            list_folder(Path(folder)).paths,
            [*arrays.train_images, *arrays.test_images],
            strict=True,
        ):
            np.testing.assert_array_equal(read_picture(place, (side, side, channels)), image)


@given(sizes=st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1, max_size=20))
def test_the_automatic_size_suits_networks(sizes):
    side = automatic_size(sizes)
    shorter = [min(size) for size in sizes]
    assert side % 8 == 0
    assert 8 <= side <= 64
    assert min(shorter) - 4 <= side or side == 64
    assert side <= max(max(shorter) + 4, 8)


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(3, 4), (4, 3)] * 2, 8),
        ([(20, 31), (22, 25), (100, 23), (24, 24)], 24),
        ([(640, 480), (480, 640), (4000, 3000), (1, 1)], 64),
    ],
)
def test_pictures_that_differ_are_scaled_without_being_asked_for(tmp_path, sizes, side):
    fill(tmp_path, sizes)
    content = read_listing(list_folder(tmp_path))
    assert content.arrays.train_images.shape[1:] == (side, side, 3)
    (note,) = content.notes
    assert note == (
        f"pictures of {len(set(sizes))} sizes are scaled and cut to {side}x{side}; --image-size N chooses another size"
    )


@pytest.mark.parametrize(("side", "told"), [(None, False), (9, False), (12, True)])
def test_pictures_of_one_size_keep_it(tmp_path, side, told):
    fill(tmp_path, [(9, 9)] * 4)
    content = read_listing(list_folder(tmp_path), side)
    assert content.arrays.train_images.shape[1:3] == ((side or 9),) * 2
    assert content.notes == (("pictures of 9x9 pixels are scaled and cut to 12x12",) if told else ())


def test_the_middle_of_a_wide_picture_is_kept_with_its_proportions(tmp_path):
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = 200
    for name in ("train/a", "train/b", "test/a", "test/b"):
        save(tmp_path / name / "0.png", Image.fromarray(wide))
    images = read_listing(list_folder(tmp_path), 10).arrays.train_images
    assert (images[:, :, 3:-3] == 200).all()
    assert (images > 150).all()


def test_shrinking_averages(tmp_path):
    """Lines of one pixel become grey: every pixel counts."""
    lines = np.tile(np.array([[0], [200]], np.uint8), (40, 80))
    for name in ("train/a", "train/b", "test/a", "test/b"):
        save(tmp_path / name / "0.png", Image.fromarray(lines))
    inner = read_listing(list_folder(tmp_path), 8).arrays.train_images[:, 1:-1].astype(int)
    assert np.abs(inner - 100).max() <= 2


def lying(image, path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(path, Image.fromarray(np.ascontiguousarray(np.rot90(image))), exif=exif, lossless=True)


@pytest.mark.parametrize("form", ["png", "tif", "webp"])
def test_a_picture_that_a_camera_took_on_its_side_has_the_size_it_has_upright(tmp_path, form):
    image = noise(1, 6, 9)
    for name in ("train/a", "train/b", "test/a", "test/b"):
        save(tmp_path / name / "0.png", Image.fromarray(image))
        lying(image, tmp_path / name / f"1.{form}")
    arrays = read_listing(list_folder(tmp_path)).arrays
    assert arrays.train_images.shape == (4, 6, 9, 1 if form != "webp" else 3)
    np.testing.assert_array_equal(arrays.train_images[1], arrays.train_images[0])


def deep(image, path):
    Image.fromarray(image.astype(np.uint16) * 257).save(path)


KINDS = {
    "transparent.png": lambda path: save(path, Image.fromarray(noise(1, 8, 8, 4))),
    "palette.png": lambda path: save(path, Image.fromarray(noise(2, 8, 8, 3)).quantize(16)),
    "palette.gif": lambda path: save(path, Image.fromarray(noise(3, 8, 8)), transparency=5),
    "deep.png": lambda path: deep(noise(4, 8, 8), path),
    "float.tif": lambda path: save(path, Image.fromarray(noise(5, 8, 8).astype(np.float32))),
    "print.tif": lambda path: save(path, Image.fromarray(noise(6, 8, 8, 3)).convert("CMYK")),
    "turned.jpg": lambda path: lying(noise(7, 8, 8), path),
    "large.jpg": lambda path: lying(noise(8, 96, 72, 3), path),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [8, 5])
def test_a_picture_is_the_same_in_training_as_in_an_answer(tmp_path, kind, side):
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        KINDS[kind](tmp_path / name / kind)
    image = read_listing(list_folder(tmp_path), side).arrays.train_images[0]
    np.testing.assert_array_equal(image, read_picture(tmp_path / "train/a" / kind, image.shape))


def test_each_size_is_cached_and_the_automatic_one_serves_whoever_asks_for_it(tmp_path):
    fill(tmp_path / "set", [(20, 31), (22, 25), (100, 23), (24, 24)])
    lines = []

    def load_(size):
        return load(str(tmp_path / "set"), image_size=size, cache_dir=tmp_path / "cache", report=lines.append)

    shapes = [load_(size).image_shape[0] for size in (None, 24, 16, None, 16)]
    assert shapes == [24, 24, 16, 24, 16]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert len(lines) == 10, "a set of lines, and the note on the size, each time and nothing else"
    assert not [line for line in lines if "rebuilt" in line]


def test_a_size_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"^--image-size 9: the images of digits have one size; leave it out$"):
        load("digits", image_size=9)
    for size in (0, -1, 8193, 2**70):
        with pytest.raises(SettingError, match=rf"^--image-size {size}: expected a whole number from 1 to 8192$"):
            load(str(tmp_path), image_size=size)
