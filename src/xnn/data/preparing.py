"""A picture as the input of a model: the same steps for the files of a data set and for a user's own picture.

In order:

1. the first frame, turned upright as its EXIF orientation says;
2. 16-bit grey is divided by 257, floats are taken as 0 to 1 where none is above 1 and as 0 to 255 elsewhere;
3. what is transparent is laid on white;
4. grey (ITU-R 601: 0.299 R + 0.587 G + 0.114 B) or RGB;
5. scaled by Lanczos' filter, which averages when it shrinks, until it covers the image's shape, and cut around its
   centre. A picture that has the size already keeps every pixel.

JPEG files of at least six times the image's size are decoded at a smaller one, see `xnn.data.pictures.open_smaller`;
torchvision, which opens its own files, decodes them at full size.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xnn.data.pictures import LYING, ORIENTATION, decoding, open_smaller
from xnn.data.splits import HostArray

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""

MODES = {1: "L", 3: "RGB"}
"""Pillow's names of grey and of colour, by the number of channels."""


def prepared_file(path: Path, image_shape: tuple[int, int, int], stored: tuple[int, int] | None = None) -> HostArray:
    """Return a picture file as an image of uint8.

    Parameters
    ----------
    path : Path
    image_shape : tuple of int
        Height, width, and 1 channel or 3.
    stored : (width, height), optional
        What an earlier look at its header found, if there was one.

    Raises
    ------
    DataError
        For what `xnn.data.pictures.open_picture` refuses.
    """
    height, width, _ = image_shape
    with open_smaller(path, (width, height), stored=stored) as (picture, extent), decoding(path, picture):
        return prepared(picture, image_shape, extent)


def prepared(
    picture: "Image.Image", image_shape: tuple[int, int, int], extent: tuple[float, float] | None = None
) -> HostArray:
    """Return a decoded picture as an image of uint8.

    Call it within `xnn.data.pictures.decoding`: the orientation is read from tags, which may be damaged.

    Parameters
    ----------
    picture : PIL.Image.Image
        It is turned upright in place.
    image_shape : tuple of int
        Height, width, and 1 channel or 3.
    extent : (width, height), optional
        How far the picture reaches from its upper left corner, before it is turned; by default to its last pixels.
    """
    from PIL import Image, ImageOps

    height, width, channels = image_shape
    picture.load()
    box = _upright(picture, extent or picture.size)
    ImageOps.exif_transpose(picture, in_place=True)
    plain = _on_white(_in_bytes(picture)).convert(MODES[channels])
    if plain.size != (width, height):
        plain = plain.resize((width, height), Image.Resampling.LANCZOS, _middle(box, width / height))
    return np.asarray(plain).reshape(image_shape)


def _upright(picture: "Image.Image", extent: tuple[float, float]) -> Box:
    """Return where an extent of a picture from its upper left corner lies once the picture is turned upright."""
    (wide, high), (width, height) = extent, picture.size
    turn = picture.getexif().get(ORIENTATION, 1)
    if turn in LYING:
        wide, high, width, height = high, wide, height, width
    left, right = (width - wide, width) if turn in (2, 3, 6, 7) else (0.0, wide)
    top, bottom = (height - high, height) if turn in (3, 4, 7, 8) else (0.0, high)
    return left, top, right, bottom


def _middle(box: Box, ratio: float) -> Box:
    """Return the largest part of a box with a ratio of width to height, around its centre."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if width / height == ratio:
        return box
    if width / height > ratio:
        left += (width - ratio * height) * 0.5
        return left, top, min(left + ratio * height, right), bottom
    top += (height - width / ratio) * 0.5
    return left, top, right, min(top + width / ratio, bottom)


def _in_bytes(picture: "Image.Image") -> "Image.Image":
    """Bring pixels of more than 8 bits to 8, some rows at a time: as float64 they take eight times the memory."""
    from PIL import Image

    if picture.mode != "F" and not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture)
    of_floats = 1.0 if (values > 1.0).any() else 255.0
    scale = of_floats if picture.mode == "F" else 1.0 / 257.0
    rows = max(2**20 // values.shape[1], 1)
    pixels = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), rows):
        part = slice(start, start + rows)
        pixels[part] = np.clip(np.rint(np.nan_to_num(values[part].astype(np.float64)) * scale), 0, 255)
    return Image.fromarray(pixels)


def _on_white(picture: "Image.Image") -> "Image.Image":
    from PIL import Image

    if not picture.has_transparency_data:
        return picture
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
