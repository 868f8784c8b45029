"""A picture becomes what the model would have seen, whatever the file holds."""

import io
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from xnn.errors import DataError
from xnn.reporting.pictures import data_uri, png, read_picture

SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (5, 9, 3)]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"]
SUFFIX = {"CMYK": ".tif", "YCbCr": ".jpg", "I": ".tif", "F": ".tif"}


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


@given(mode=st.sampled_from(MODES), width=st.integers(1, 70), height=st.integers(1, 70), shape=st.sampled_from(SHAPES))
def test_any_mode_and_size_gives_the_models_shape(folder, mode, width, height, shape):
    value = 255 if mode == "1" else 200
    if mode.startswith("I"):
        deep = np.uint16 if mode == "I;16" else np.int32
        picture = Image.fromarray(np.full((height, width), value * 257, deep))
    else:
        picture = Image.fromarray(np.full((height, width), value, np.uint8)).convert(mode)
    path = folder / f"any{SUFFIX.get(mode, '.png')}"
    picture.save(path)
    image = read_picture(path, shape)
    assert (image.shape, image.dtype) == (shape, np.uint8)
    # One colour stays that colour at any size; JPEG and palettes have their own roundings.
    assert np.abs(image.astype(int) - value).max() <= 3


@given(seed=st.integers(0, 99), orientation=st.integers(1, 8))
def test_the_orientation_that_a_camera_notes_is_undone(folder, seed, orientation):
    image = pixels(seed, (6, 9))
    undo = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.T,
        6: lambda x: np.rot90(x),
        7: lambda x: x[::-1, ::-1].T,
        8: lambda x: np.rot90(x, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undo[orientation](image))).save(folder / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_picture(folder / "turned.png", (6, 9, 1))[..., 0], image)


@pytest.mark.parametrize(
    ("kind", "factor"), [(np.uint16, 257), (np.int32, 257), (np.float32, 1.0), (np.float32, np.float32(1.0) / 255)]
)
def test_deep_pixels_become_eight_bits(folder, kind, factor):
    """Of floats, those up to 1 and those up to 255."""
    image = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    Image.fromarray(image.astype(kind) * kind(factor)).save(folder / "deep.tif")
    np.testing.assert_array_equal(read_picture(folder / "deep.tif", (8, 8, 1))[..., 0], image)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(folder, mode):
    picture = Image.new("RGBA", (8, 8), (10, 10, 10, 0))
    picture.paste((40, 40, 40, 255), (0, 0, 8, 4))
    if mode == "P":
        picture = Image.new("P", (8, 8), 0)
        picture.putpalette([10, 10, 10, 40, 40, 40])
        picture.paste(1, (0, 0, 8, 4))
        picture.save(folder / "clear.png", transparency=0)
    else:
        picture.convert(mode).save(folder / "clear.png")
    image = read_picture(folder / "clear.png", (8, 8, 1))
    assert (image[:4] == 40).all()
    assert (image[4:] == 255).all()


def test_the_middle_is_kept_of_another_shape(folder):
    """A wide picture loses its sides, not its proportions."""
    image = np.zeros((8, 24), np.uint8)
    image[:, 8:16] = 255
    (folder / "wide.png").write_bytes(png(image))
    assert (read_picture(folder / "wide.png", (8, 8, 1)) == 255).all()


def encoded(form):
    buffer = io.BytesIO()
    Image.fromarray(pixels(3, (9, 9, 3))).save(buffer, format=form)
    return buffer.getvalue()


FILES = {form: encoded(form) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(form=st.sampled_from(list(FILES)), place=st.integers(0, 400), change=st.binary(min_size=0, max_size=4))
def test_a_spoilt_file_is_read_or_named(folder, form, place, change):
    """Cut off, or with some bytes changed: nothing but a DataError may come out."""
    content = FILES[form]
    spoilt = content[:place] + change + content[place + len(change) :] if change else content[:place]
    (folder / "spoilt").write_bytes(spoilt)
    complaint = None
    try:
        assert read_picture(folder / "spoilt", (8, 8, 3)).shape == (8, 8, 3)
    except DataError as error:
        complaint = str(error)
    assert complaint is None or re.fullmatch(rf"{re.escape(str(folder / 'spoilt'))}: .*", complaint)


def test_what_is_no_number_becomes_black_and_what_is_infinite_white(folder):
    values = np.array([[np.nan, np.inf], [-np.inf, 100.0]], np.float32)
    Image.fromarray(values).save(folder / "odd.tif")
    assert read_picture(folder / "odd.tif", (2, 2, 1))[..., 0].tolist() == [[0, 255], [0, 100]]


def test_what_is_no_picture_is_named(folder):
    with pytest.raises(DataError, match=r"nowhere\.png: not a readable picture \(No such file"):
        read_picture(folder / "nowhere.png", (8, 8, 1))
    with pytest.raises(DataError, match="not a readable picture"):
        read_picture(folder, (8, 8, 1))
    with pytest.raises(DataError, match="takes images of 4 channels"):
        read_picture(folder / "nowhere.png", (8, 8, 4))


@given(seed=st.integers(0, 99), shape=st.sampled_from([(3, 4), (3, 4, 1), (3, 4, 3), (3, 4, 4)]))
def test_a_png_holds_the_pixels(seed, shape):
    image = pixels(seed, shape)
    with Image.open(io.BytesIO(png(image))) as picture:
        np.testing.assert_array_equal(np.asarray(picture).reshape(shape), image)
    assert data_uri(image).startswith("data:image/png;base64,")
