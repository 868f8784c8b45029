"""What a picture's header says is believed as far as the limits go, and only the formats that are named are tried."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from contextlib import suppress

import numpy as np
import PIL
import pytest
from PIL import EpsImagePlugin, Image, ImageFile, ImageOps

from tests.hostile import images
from tests.hostile.images import header
from tests.trouble import failing, memory_below
from xnn.data import pictures
from xnn.data.pictures import (
    FORMATS,
    MOST_PIXELS,
    SUFFIXES,
    channels,
    decoding,
    is_passed_over,
    is_picture,
    open_picture,
)
from xnn.errors import DataError

RGB = 2
"""The number of a colour type of PNG; 0 is grey."""


def png(width: int, height: int, colour: int = 0, *more: tuple[bytes, bytes]) -> bytes:
    """Return a PNG file whose header promises so many pixels, none of which is there."""
    start = (b"IHDR", header(width, height, colour=colour))
    return images.png([start, *more, (b"IDAT", zlib.compress(b"")), (b"IEND", b"")])


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def decoded(path) -> np.ndarray:
    with open_picture(path) as image:
        return np.asarray(image)


def refusal(path) -> str:
    with pytest.raises(DataError) as caught:
        decoded(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read(tmp_path, suffix):
    image = Image.fromarray(np.full((4, 5), 200, np.uint8))
    image.save(tmp_path / f"a{suffix}")
    with open_picture(tmp_path / f"a{suffix}") as picture:
        assert picture.format in FORMATS
        assert (picture.size, channels(picture)) == ((5, 4), 3 if picture.mode in ("P", "RGB") else 1)


@pytest.mark.parametrize(
    ("name", "passed_over", "picture"),
    [
        ("1.png", False, True),
        ("1.JPEG", False, True),
        ("a.b.tif", False, True),
        ("png", False, False),
        ("Thumbs.db", False, False),
        ("._1.png", True, False),
        (".png", True, False),
        (".DS_Store", True, False),
        ("__MACOSX", True, False),
        ("__MACOSX_of_mine", False, False),
        ("__MACOSX.png", False, True),
    ],
)
def test_what_systems_put_beside_pictures_is_passed_over(name, passed_over, picture):
    assert (is_passed_over(name), is_picture(name)) == (passed_over, picture)


def test_a_link_to_a_picture_is_followed(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.new("L", (5, 4)), "PNG"))
    (tmp_path / "b.png").symlink_to("a.png")
    assert decoded(tmp_path / "b.png").shape == (4, 5)


@pytest.mark.parametrize("form", ["TGA", "ICO", "PCX", "SGI", "PDF", "EPS", "MSP"])
def test_no_other_format_is_tried(tmp_path, monkeypatch, form):
    """Not even the one that would look for Ghostscript."""
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", failing(AssertionError("looked for Ghostscript")))
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("1" if form == "MSP" else "RGB", (16, 16)), form))
    assert refusal(path) == (
        "not a readable picture (not PNG, JPEG, BMP, GIF, WEBP, TIFF or PPM, or damaged at the start)"
    )


@pytest.mark.parametrize(
    ("size", "colour", "message"),
    [
        ((8193, 8193), 0, "8193x8193 pixels are more than the 67,108,864 that are allowed; make it smaller"),
        ((13_000, 13_000), 0, "13000x13000 pixels are more than the 67,108,864 that are allowed; make it smaller"),
        ((2**30, 2**30), 0, "far more than the 67,108,864 pixels that are allowed; make it smaller"),
        ((4800, 4800), RGB, r"refused, its 65 bytes unpack to 69,120,000 or more, which looks like an attempt"),
    ],
)
def test_a_bomb_is_refused_by_its_header(tmp_path, monkeypatch, size, colour, message):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(*size, colour))
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    assert refusal(path).startswith(message)
    with pytest.raises(DataError), open_picture(path, decode=False):
        pass


def test_the_limits_let_through_what_real_pictures_are(tmp_path):
    """As many pixels as are allowed, in a file that is a hundredth of them."""
    path = tmp_path / "large.png"
    path.write_bytes(png(8192, 8192, RGB, (b"teSt", bytes(3 * MOST_PIXELS // 100))))
    with open_picture(path, decode=False) as image:
        assert image.size == (8192, 8192)


def test_only_the_first_frame_is_read(tmp_path, monkeypatch):
    frames = [Image.new("L", (8, 8), value) for value in range(20)]
    for form in ("GIF", "TIFF", "WEBP"):
        path = tmp_path / f"many.{form}"
        path.write_bytes(encoded(frames[0], form, save_all=True, append_images=frames[1:]))
        with open_picture(path) as image:
            monkeypatch.setattr(type(image), "seek", None)
            assert (np.asarray(image.convert("L")) == 0).all()


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path):
    whole = encoded(Image.new("L", (2000, 2000), 128), "JPEG", progressive=True)
    scan = whole[whole.rindex(b"\xff\xc4") : -2]
    assert b"\xff\xda" in scan
    path = tmp_path / "scans.jpg"
    path.write_bytes(whole[:-2] + scan * 3 + whole[-2:])
    assert decoded(path).shape == (2000, 2000)
    path.write_bytes(whole[:-2] + scan * 1000 + whole[-2:])
    assert refusal(path) == "refused, a JPEG file of 1,006 scans would take very long to decode"


def test_packed_texts_and_profiles_are_not_unpacked_without_end(tmp_path):
    """Pillow has limits of its own for these."""
    texts = [(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000)))] * 200
    profile = [(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**26)))]
    path = tmp_path / "a.png"
    with memory_below(2**28):
        for extra in (texts, profile):
            path.write_bytes(png(4, 4, 0, *extra))
            refusal(path)


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP"])
@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="this Pillow is older than what xnn asks for")
def test_overlapping_tags_take_little_memory(tmp_path, form):
    """Ten thousand tags, each of which claims the whole file: Pillow has a limit for these too."""
    count = 10_000
    size = 2 + 12 * count + 4
    tags = b"".join(struct.pack("<HHII", number, 7, size, 0) for number in range(1000, 1000 + count))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", count) + tags + bytes(4)
    path = tmp_path / f"a.{form}"
    path.write_bytes(block if form == "TIFF" else encoded(Image.new("L", (8, 8)), form, exif=b"Exif\0\0" + block))
    with memory_below(2**26), suppress(DataError), open_picture(path) as image, decoding(path):
        ImageOps.exif_transpose(image)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(2**29)
    assert refusal(path) == "536,870,912 bytes, but a picture may have 269,484,032; make it smaller"


def test_libtiff_does_not_write_to_standard_error(tmp_path, capfd):
    """Its decoders report damage themselves, past Python."""
    whole = encoded(Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)), "TIFF", compression="tiff_lzw")
    path = tmp_path / "a.tif"
    path.write_bytes(whole[:10] + b"\xff" * 20 + whole[30:])
    with Image.open(path) as image, pytest.raises(OSError, match=r"decoder error|-2"):
        image.load()
    assert "tempfile.tif" in capfd.readouterr().err, "it is not this that libtiff reports"
    refusal(path)
    assert capfd.readouterr().err == ""
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_links_without_end_are_named(tmp_path):
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    assert refusal(tmp_path / "a.png").startswith("not a readable picture (")


@pytest.mark.parametrize("error", [struct.error("two\nlines"), ValueError("x" * 10_000), TypeError()])
def test_whatever_a_decoder_raises_is_one_short_line(tmp_path, monkeypatch, error):
    (tmp_path / "a.png").write_bytes(encoded(Image.new("L", (5, 4)), "PNG"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", failing(error))
    message = refusal(tmp_path / "a.png")
    assert message.startswith("not a readable picture (")
    assert len(message) < 300


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded(Image.new("L", (5, 4)), "PNG"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", failing(MemoryError()))
    assert refusal(tmp_path / "a.png") == "too little memory for 5x4 pixels"
    monkeypatch.setattr(Image, "open", failing(MemoryError()))
    assert refusal(tmp_path / "a.png") == "too little memory for what its header says"


@pytest.mark.parametrize("error", [MemoryError, TypeError, LookupError, OSError])
def test_the_errors_of_whoever_uses_a_picture_are_their_own(tmp_path, error):
    (tmp_path / "a.png").write_bytes(encoded(Image.new("L", (5, 4)), "PNG"))
    with pytest.raises(error, match=r"^mine$"), open_picture(tmp_path / "a.png"):
        raise error("mine")


def test_a_damaged_picture_is_named_before_it_is_used(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(np.arange(256, dtype=np.uint8)), "PNG")[:-40])
    with pytest.raises(DataError, match=r"a.png: not a readable picture"), open_picture(tmp_path / "a.png"):
        pytest.fail("it was opened")


def test_a_picture_that_lacks_its_palette_is_named(tmp_path):
    start = [(b"IHDR", header(1, 1, colour=3)), (b"tRNS", b"\0")]
    content = images.png([*start, (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")])
    (tmp_path / "a.png").write_bytes(content)
    assert refusal(tmp_path / "a.png") == "not a readable picture (it has no palette)"


def test_nothing_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("L", (12, 12)), "PNG"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with open_picture(path), decoding(path):
            warnings.warn("a decoder's", stacklevel=1)
        assert told == []
        warnings.warn("the user's", stacklevel=1)
    assert len(told) == 1
    assert pictures.MOST_PIXELS < 89_478_485, "Pillow's own limit would come first"


def test_what_pillow_logs_of_a_file_reaches_no_terminal():
    program = "import logging; from xnn.data import pictures; logging.getLogger('PIL.TiffImagePlugin').error('odd')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
