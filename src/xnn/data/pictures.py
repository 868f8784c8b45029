"""Opening picture files: the formats and limits for folders of images and for a user's own pictures.

A file's header is checked before anything is decoded. Only the formats named here are tried: Pillow has readers for
some forty, one of which would start another program.
"""

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from xnn.data.limits import check_unpacked
from xnn.data.quiet import no_stderr, no_warnings
from xnn.errors import DataError
from xnn.files import open_regular
from xnn.paths import reason

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
GREY_MODES = ("1", "L", "LA")
_BESIDE = ("__MACOSX",)
"""Folders that systems put beside a user's own."""
ORIENTATION = 0x0112
"""The EXIF tag that says how a picture is to be turned."""
LYING = (5, 6, 7, 8)
"""Its values that exchange width and height."""

# Pillow also logs some faults of files; without a handler Python would print them on standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())

MOST_PIXELS = 2**26
"""The largest cameras have 61 million. A picture of this size takes 201 MB in colour, and a second to decode."""
_MOST_BYTES = 2**28 + 2**20
"""The size of that many pixels, uncompressed, with alpha and a megabyte of other things."""
_SPARE = 3
"""Times the size that is needed: Lanczos' filter does the rest, and hardly shows what was done before."""
_SCANS, _BYTES_PER_SCAN = 100, 2**14

_DECODING_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    NotImplementedError,
    struct.error,
)
"""Each of Pillow's decoders raises errors of its own for damaged files."""


def is_passed_over(name: str) -> bool:
    """Return whether a file or folder is hidden, or is one that systems put beside a user's own."""
    return name.startswith(".") or name in _BESIDE


def is_picture(name: str) -> bool:
    """Return whether a file is a picture by its name, and not passed over."""
    return name.lower().endswith(SUFFIXES) and not is_passed_over(name)


@contextmanager
def open_picture(path: Path, *, decode: bool = True, stored: tuple[int, int] | None = None) -> Iterator["Image.Image"]:
    """Open a picture file and decode its pixels; if it holds several pictures, the first one.

    Parameters
    ----------
    path : Path
        A regular file, or a link to one.
    decode : bool
        Whether the pixels are wanted; if not, Pillow reads the header only.
    stored : (width, height), optional
        What an earlier look at the header found, if there was one.

    Yields
    ------
    image : PIL.Image.Image

    Raises
    ------
    DataError
        If the file cannot be read, is not in one of `FORMATS`, is damaged, is not as large as before, or is larger
        than `MOST_PIXELS`, `xnn.data.limits` or the memory allow.
    """
    with _opened(path, decode, stored, None) as (image, _):
        yield image


@contextmanager
def open_smaller(
    path: Path, least: tuple[int, int], *, stored: tuple[int, int] | None = None
) -> Iterator[tuple["Image.Image", tuple[float, float]]]:
    """Open a picture file that is to be scaled, and decode no more of its pixels than that takes.

    A JPEG file is decoded at a half, a quarter or an eighth of its size where that is at least three times as much as
    is needed, which takes a fraction of the time. The decoder then averages each square of pixels, by the cosine
    transform that it undoes anyway.

    Parameters
    ----------
    path, stored
        As for `open_picture`.
    least : (width, height)
        What is needed of the picture once it is upright.

    Yields
    ------
    image : PIL.Image.Image
        Not yet turned upright.
    extent : (width, height)
        How far the picture reaches from the image's upper left corner, in its pixels: where a side is no multiple of
        the squares', the decoder fills up the last ones.

    Raises
    ------
    DataError
        As for `open_picture`.
    """
    with _opened(path, True, stored, least) as opened:
        yield opened


@contextmanager
def _opened(
    path: Path, decode: bool, stored: tuple[int, int] | None, least: tuple[int, int] | None
) -> Iterator[tuple["Image.Image", tuple[float, float]]]:
    from PIL import Image

    with ExitStack() as stack:
        with decoding(path):
            file = stack.enter_context(open_regular(path))
            size = os.fstat(file.fileno()).st_size
            if size > _MOST_BYTES:
                raise DataError(f"{path}: {size:,} bytes, but a picture may have {_MOST_BYTES:,}; make it smaller")
            image = stack.enter_context(Image.open(file, formats=FORMATS))
            if stored not in (None, image.size):
                raise DataError(f"{path}: it was changed while it was read")
            _check_size(image, size, path)
            extent = None
            if decode:
                _check_scans(image, file, path)
                if least is not None:
                    extent = _decode_smaller(image, least)
        if decode:
            # libtiff reports damage itself, bypassing Python.
            with decoding(path, image), no_stderr if image.format == "TIFF" else nullcontext():
                image.load()
                if image.mode in ("P", "PA") and image.palette is None:
                    raise ValueError("it has no palette")
        # Pillow turns TIFF files as it decodes them.
        yield image, extent or image.size


@contextmanager
def decoding(path: Path, image: "Image.Image | None" = None) -> Iterator[None]:
    """Turn what Pillow raises for a damaged file into a DataError that names it, and silence its warnings.

    Parameters
    ----------
    path : Path
        The file.
    image : PIL.Image.Image, optional
        The picture, once it is open.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        # Pillow's warnings about odd files are of no use to the user.
        with no_warnings():
            yield
    except DataError:
        raise
    except MemoryError:
        what = f"{image.width}x{image.height} pixels" if image else "what its header says"
        raise DataError(f"{path}: too little memory for {what}") from None
    except UnidentifiedImageError:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise DataError(f"{path}: not a readable picture (not {known}, or damaged at the start)") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: far more than the {MOST_PIXELS:,} pixels that are allowed; make it smaller") from None
    except _DECODING_ERRORS as error:
        fault = " ".join(reason(error).split())[:200]
        raise DataError(f"{path}: not a readable picture ({fault})") from None


def channels(image: "Image.Image") -> int:
    """Return 1 for a grey picture, 3 for any other."""
    deep_grey = image.mode == "F" or image.mode.startswith("I")
    return 1 if deep_grey or image.mode in GREY_MODES else 3


def orientation(image: "Image.Image") -> int:
    """Return the EXIF orientation by which a picture is still to be turned, as far as its header tells; else 1."""
    # Pillow turns TIFF files itself. What comes after the pixels of a PNG file can only be had by decoding them.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    found = image.getexif().get(ORIENTATION, 1)
    return found if isinstance(found, int) else 1


def _decode_smaller(image: "Image.Image", least: tuple[int, int]) -> tuple[float, float] | None:
    """Have a JPEG file decoded at the smallest size that its decoder offers and that is `_SPARE` times as needed.

    Returns the picture's width and height in pixels of that size; None for files of other kinds.
    """
    wide, high = least[::-1] if orientation(image) in LYING else least
    drafted = image.draft(None, (_SPARE * wide, _SPARE * high))
    return None if drafted is None else drafted[1][2:]


def _check_size(image: "Image.Image", packed: int, path: Path) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{path}: {width}x{height} pixels are more than the {MOST_PIXELS:,} that are allowed; make it smaller"
        )
    check_unpacked(width * height * (1 if image.mode in GREY_MODES else 3), packed, str(path))


def _check_scans(image: "Image.Image", file: BinaryIO, path: Path) -> None:
    """Refuse a JPEG file with thousands of scans, each of which takes sixty bytes and a pass over all pixels.

    Ten are usual. In an attached video, two bytes may by chance look like the beginning of a scan, so the limit grows
    with the file.
    """
    if image.format not in ("JPEG", "MPO"):
        return
    place = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(place)
    scans = content.count(b"\xff\xda")
    if scans > _SCANS + len(content) // _BYTES_PER_SCAN:
        raise DataError(f"{path}: refused, a JPEG file of {scans:,} scans would take very long to decode")
