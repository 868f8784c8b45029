"""A user's own picture as the input of a model, and arrays as PNG files.

The steps from a file to the model's input, in order:

1. the first frame, turned upright as its EXIF orientation says;
2. 16-bit grey is divided by 257, floats are taken as 0 to 1 where none is above 1 and as 0 to 255 elsewhere;
3. what is transparent is laid on white;
4. grey (ITU-R 601: 0.299 R + 0.587 G + 0.114 B) or RGB, as the model's images are;
5. inverted, where that is asked for;
6. cut around its centre to the shape of the model's images, and resized to them by Lanczos' filter, which averages when
   it shrinks. A picture that has the model's size already keeps every pixel.

The model's normalization comes after these.
"""

import base64
import io
import os
from typing import TYPE_CHECKING

import numpy as np

from xnn.data.pictures import decoding, open_picture
from xnn.data.splits import HostArray
from xnn.errors import DataError
from xnn.paths import expanded

if TYPE_CHECKING:
    from PIL import Image

_CHANNELS = {1: "L", 3: "RGB"}


def read_picture(path: str | os.PathLike[str], image_shape: tuple[int, int, int], *, invert: bool = False) -> HostArray:
    """Return a picture file as an image (h, w, c) of uint8 for a model.

    Parameters
    ----------
    path : path
        A file in one of `xnn.data.pictures.FORMATS`.
    image_shape : tuple of int
        Height, width and channels of the model's images.
    invert : bool
        Exchange light and dark.

    Raises
    ------
    DataError
        The file is missing, no picture, damaged or absurdly large, or the model takes neither 1 nor 3 channels.
    """
    from PIL import ImageOps

    height, width, channels = image_shape
    if channels not in _CHANNELS:
        raise DataError(f"{path}: the model takes images of {channels} channels; a picture has 1 (grey) or 3 (RGB)")
    place = expanded(path, "picture", DataError)
    with open_picture(place) as picture:
        # The orientation is read from tags, which may be damaged too.
        with decoding(place, picture):
            ImageOps.exif_transpose(picture, in_place=True)
        pixels = np.asarray(_fitted(picture, (width, height), _CHANNELS[channels]))
    pixels = pixels.reshape(height, width, channels)
    return 255 - pixels if invert else pixels


def _fitted(picture: "Image.Image", size: tuple[int, int], mode: str) -> "Image.Image":
    from PIL import Image, ImageOps

    plain = _on_white(_in_bytes(picture)).convert(mode)
    if plain.size == size:
        return plain
    return ImageOps.fit(plain, size, Image.Resampling.LANCZOS)


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


def png(pixels: HostArray) -> bytes:
    """Return (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) of uint8 as the bytes of a PNG file."""
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def data_uri(pixels: HostArray) -> str:
    """Return pixels as a PNG in a ``data:`` address, for the ``src`` of an ``img``."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")
