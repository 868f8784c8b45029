"""Arrays as PNG files, for pages and whatever else shows pictures."""

import base64
import io

import numpy as np

from xnn.data.splits import HostArray


def png(pixels: HostArray, *, smallest: bool = True) -> bytes:
    """Return (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) of uint8 as the bytes of a PNG file.

    To make it as small as can be takes several times as long.
    """
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG", optimize=smallest)
    return buffer.getvalue()


def data_uri(pixels: HostArray) -> str:
    """Return pixels as a PNG in a ``data:`` address, for the ``src`` of an ``img``."""
    return as_uri(png(pixels))


def as_uri(picture: bytes) -> str:
    """Return the bytes of a PNG file as a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
