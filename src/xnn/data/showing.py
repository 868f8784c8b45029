"""A grid of images with captions, for notebooks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xnn import _markup
from xnn.data.png import data_uri
from xnn.data.splits import HostArray, Split

if TYPE_CHECKING:
    from markupsafe import Markup

_MOST = 24
_SIDE = 72
"""Pixels of a shown image's longer side."""
_LARGEST = 144
"""Pixels to which a photograph is made smaller, for screens that have several for each of a page's."""
_LOOKED_AT = 20_000
"""Images among which those of each class are looked for."""


def grid_of(split: Split, classes: Sequence[str] = ()) -> "Markup":
    """Return the first images of each class, as many as there is room for; a line if they are no images."""
    images = split.images
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        return _markup.paragraph("Only images of unsigned bytes, grey or RGB, are shown.")
    chosen = first_of_each(np.asarray(split.labels[:_LOOKED_AT]))
    labels = [int(label) for label in split.labels[chosen]]
    names = [classes[label] if label < len(classes) else str(label) for label in labels]
    scale = _SIDE / max(images.shape[1:3])
    width = max(1, round(scale * images.shape[2]))
    return _markup.grid(
        [
            (_markup.image(data_uri(small(np.asarray(images[i]))), name, width=width, sharp=scale > 1), name)
            for i, name in zip(chosen, names, strict=True)
        ],
        max(width, _SIDE),
    )


def first_of_each(labels: HostArray) -> list[int]:
    """Return the positions of the first images of each class, equally many of each, ordered by class."""
    classes, counts = np.unique(labels, return_counts=True)
    each = max(1, _MOST // len(classes))
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(counts) - counts
    chosen = [order[start : start + min(each, count)] for start, count in zip(starts, counts, strict=True)]
    return [int(position) for position in np.concatenate(chosen[:_MOST])]


def small(image: HostArray) -> HostArray:
    """Return an image as it is, or made smaller where it is larger than what is shown."""
    if max(image.shape[:2]) <= _LARGEST:
        return image
    from PIL import Image

    picture = Image.fromarray(np.squeeze(image, axis=2) if image.ndim == 3 and image.shape[2] == 1 else image)
    picture.thumbnail((_LARGEST, _LARGEST))
    return np.asarray(picture)
