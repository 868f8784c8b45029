"""A picture becomes what a model sees, whatever the file holds; large JPEG files need not be decoded at full size."""

import io
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from xnn.data.pictures import open_smaller
from xnn.data.preparing import prepared, prepared_file
from xnn.errors import DataError

SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (5, 9, 3)]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"]
SUFFIX = {"CMYK": ".tif", "YCbCr": ".jpg", "I": ".tif", "F": ".tif"}
SIDES = st.integers(8, 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def path(folder):
    return folder / "large.jpg"


def pixels(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


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
    image = prepared_file(path, shape)
    assert (image.shape, image.dtype) == (shape, np.uint8)
    # One colour stays that colour at any size; JPEG and palettes have their own roundings.
    assert np.abs(image.astype(int) - value).max() <= 3


UNDO = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.T,
    6: lambda x: np.rot90(x),
    7: lambda x: x[::-1, ::-1].T,
    8: lambda x: np.rot90(x, -1),
}
"""What a camera stores of an image that is to be seen upright, by the orientation that it notes."""


@given(
    seed=st.integers(0, 99),
    orientation=st.integers(1, 8),
    size=st.tuples(SIDES, SIDES),
    target=st.tuples(SIDES, SIDES),
    suffix=st.sampled_from([".png", ".tif"]),
)
def test_a_turned_picture_is_cut_and_scaled_as_an_upright_one(folder, seed, orientation, size, target, suffix):
    image = pixels(seed, size)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = folder / f"turned{suffix}"
    Image.fromarray(np.ascontiguousarray(UNDO[orientation](image))).save(path, exif=exif)
    np.testing.assert_array_equal(prepared_file(path, (*size, 1))[..., 0], image)
    expected = ImageOps.fit(Image.fromarray(image), target[::-1], Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(prepared_file(path, (*target, 1))[..., 0], np.asarray(expected))


@pytest.mark.parametrize(
    ("kind", "factor"), [(np.uint16, 257), (np.int32, 257), (np.float32, 1.0), (np.float32, np.float32(1.0) / 255)]
)
def test_deep_pixels_become_eight_bits(folder, kind, factor):
    """Of floats, those up to 1 and those up to 255."""
    image = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    Image.fromarray(image.astype(kind) * kind(factor)).save(folder / "deep.tif")
    np.testing.assert_array_equal(prepared_file(folder / "deep.tif", (8, 8, 1))[..., 0], image)


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
    image = prepared_file(folder / "clear.png", (8, 8, 1))
    assert (image[:4] == 40).all()
    assert (image[4:] == 255).all()


def test_the_middle_is_kept_of_another_shape(folder):
    """A wide picture loses its sides, not its proportions."""
    image = np.zeros((8, 24), np.uint8)
    image[:, 8:16] = 255
    Image.fromarray(image).save(folder / "wide.png")
    assert (prepared_file(folder / "wide.png", (8, 8, 1)) == 255).all()


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
        assert prepared_file(folder / "spoilt", (8, 8, 3)).shape == (8, 8, 3)
    except DataError as error:
        complaint = str(error)
    assert complaint is None or re.fullmatch(rf"{re.escape(str(folder / 'spoilt'))}: .*", complaint)


def test_what_is_no_number_becomes_black_and_what_is_infinite_white(folder):
    values = np.array([[np.nan, np.inf], [-np.inf, 100.0]], np.float32)
    Image.fromarray(values).save(folder / "odd.tif")
    assert prepared_file(folder / "odd.tif", (2, 2, 1))[..., 0].tolist() == [[0, 255], [0, 100]]


def photograph(seed, width, height):
    """Something with shapes, colours and a little noise; noise alone is what JPEG changes most."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 7, 3), np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(np.clip(pixels + random.integers(-8, 9, pixels.shape), 0, 255).astype(np.uint8))


def write(path, picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif, quality=90)


@given(
    seed=st.integers(0, 99),
    target=st.tuples(SIDES, SIDES),
    times=st.tuples(st.floats(1, 32), st.floats(1, 32)),
    orientation=st.integers(1, 8),
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
)
def test_a_large_jpeg_file_is_decoded_smaller_but_not_below_three_times_what_is_needed(
    path, seed, target, times, orientation, mode
):
    stored = tuple(max(1, round(side * factor)) for side, factor in zip(target, times, strict=True))
    write(path, photograph(seed, *stored).convert(mode), orientation)
    least = target[::-1] if orientation > 4 else target
    spare = min(side // (3 * needed) for side, needed in zip(stored, target, strict=True))
    scale = max(scale for scale in (1, 2, 4, 8) if scale <= max(spare, 1))
    with open_smaller(path, least) as (image, extent):
        assert image.size == tuple(-(-side // scale) for side in stored)
        assert extent == tuple(side / scale for side in stored)
    for channels in (1, 3):
        shape = (*least[::-1], channels)
        with Image.open(path) as whole:
            expected = prepared(whole, shape).astype(int)
        found = prepared_file(path, shape).astype(int)
        assert found.shape == shape
        assert np.abs(found - expected).mean() <= (5 if scale > 1 else 0)


def test_details_are_averaged_not_skipped(path):
    """Stripes of one pixel become grey at every size."""
    stripes = np.tile(np.array([[0, 200]], np.uint8), (256, 128))
    Image.fromarray(stripes).save(path, quality=100)
    for side in (8, 16, 32, 64):
        inner = prepared_file(path, (side, side, 1))[1:-1, 1:-1].astype(int)
        assert np.abs(inner - 100).max() <= 3


def test_a_jpeg_file_that_is_cut_off_is_refused_at_any_size(path):
    write(path, photograph(0, 300, 200), 1)
    path.write_bytes(path.read_bytes()[:-2000])
    for side in (8, 200):
        with pytest.raises(DataError, match="not a readable picture"):
            prepared_file(path, (side, side, 3))
