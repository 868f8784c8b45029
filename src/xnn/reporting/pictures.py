"""A user's own picture as the input of a model, and images made fit for a page.

`xnn.data.preparing` has the steps, which a folder's images went through before training. Then light and dark are
exchanged, where that is asked for; the model's normalization comes last.
"""

import os

from xnn.data.preparing import MODES, prepared_file
from xnn.data.splits import HostArray
from xnn.errors import DataError
from xnn.paths import expanded

MOST_PIXELS = 256
"""Largest height or width of a picture in a page; larger ones lose rows and columns."""
MOST_PIXELS_OF_MANY = 128
"""The same where there are dozens."""


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
    channels = image_shape[2]
    if channels not in MODES:
        raise DataError(f"{path}: the model takes images of {channels} channels; a picture has 1 (grey) or 3 (RGB)")
    pixels = prepared_file(expanded(path, "picture", DataError), image_shape)
    return 255 - pixels if invert else pixels


def visible(image: HostArray) -> HostArray:
    """Return what a PNG can hold of an image (h, w, c): grey, RGB, or else its first channel."""
    return image if image.shape[-1] in (1, 3) else image[..., :1]


def small(pixels: HostArray, most: int = MOST_PIXELS) -> HostArray:
    """Return (h, w, ...) with at most `most` rows and columns."""
    stride = -(-max(pixels.shape[:2]) // most)
    return pixels[::stride, ::stride]
