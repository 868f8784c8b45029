"""Which pictures make up a data set, and how they become its images.

All headers are looked at before anything is decoded. Where the pictures have one size, the images have it too; pictures
of several sizes, or of all sizes where one is asked for, become squares.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from xnn.data.limits import FREELY_IN_A_FOLDER, check_room, check_unpacked
from xnn.data.pictures import channels, decoding, open_picture, orientation
from xnn.data.preparing import prepared
from xnn.data.splits import Arrays, Content, HostArray, Split, validation_split
from xnn.errors import DataError, some

TEST_FRACTION, TEST_SEED = 0.2, 0
MOST_SIDE = 8192
"""The most that an image's side is scaled to: as large as the largest pictures."""
_AUTOMATIC, _STEP = 64, 8
_LYING = (5, 6, 7, 8)
"""The orientations that exchange width and height."""

T = TypeVar("T")


class Picture(NamedTuple):
    """A file and the number of its class."""

    path: Path
    label: int


@dataclass(frozen=True)
class Listing:
    """The pictures of a data set, none of them opened yet.

    Attributes
    ----------
    root
        The folder or the file that lists them, for messages.
    classes
        Their names, in the order of the labels.
    parts
        The pictures of ``train`` and ``test``; or of ``train`` alone, a fifth of which is to be the test set.
    """

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, list[Picture]]

    @property
    def divided(self) -> bool:
        """Whether the test images are to be chosen here."""
        return "test" not in self.parts

    @property
    def paths(self) -> list[Path]:
        """All files, in order."""
        return [picture.path for part in self.parts.values() for picture in part]


class _Header(NamedTuple):
    """What a picture's header says; `size` is the width and height once it is upright."""

    size: tuple[int, int]
    stored: tuple[int, int]
    channels: int
    packed: int


def read_listing(listing: Listing, image_size: int | None = None) -> Content:
    """Return the images and labels; grey pictures have one channel unless another is in colour.

    Parameters
    ----------
    listing : Listing
    image_size : int, optional
        The side of the squares to which the pictures are scaled and cut. By default they keep their size if all have
        the same, and else it is `automatic_size`.

    Raises
    ------
    DataError
        If a file is no picture, there are too few of them, or all together are larger than the memory or
        `xnn.data.limits` allow.
    """
    pictures = [picture for part in listing.parts.values() for picture in part]
    headers = [_read_header(picture.path) for picture in pictures]
    check_unpacked(
        sum(header.size[0] * header.size[1] * header.channels for header in headers),
        sum(header.packed for header in headers),
        str(listing.root),
        freely=FREELY_IN_A_FOLDER,
    )
    (width, height), notes = image_size_of([header.size for header in headers], image_size)
    shape = (height, width, max(header.channels for header in headers))
    # They are copied when they are divided.
    check_room(2 * len(pictures) * height * width * shape[2], str(listing.root))
    stack = np.empty((len(pictures), *shape), np.uint8)
    for row, picture, header in zip(stack, pictures, headers, strict=True):
        row[...] = _read_image(picture.path, header, shape)
    labels = np.array([picture.label for picture in pictures], np.int64)
    return Content(_in_parts(listing, stack, labels), listing.classes, notes)


def automatic_size(sizes: list[tuple[int, int]]) -> int:
    """Return the side of the images where the pictures have several sizes.

    It is the median of the shorter sides, to the nearest multiple of 8, since networks halve images three times; at
    least 8, and at most 64, up to which a small data set trains in minutes on a CPU.
    """
    median = statistics.median(min(size) for size in sizes)
    return min(max(_STEP * round(median / _STEP), _STEP), _AUTOMATIC)


def image_size_of(sizes: list[tuple[int, int]], asked: int | None) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Return the width and height of all images, and a line that says so where not all pictures have them.

    Parameters
    ----------
    sizes : list of (width, height)
        Those of the pictures.
    asked : int or None
        The `image_size` that was asked for.
    """
    kinds = set(sizes)
    if asked is None and len(kinds) == 1:
        return sizes[0], ()
    side = automatic_size(sizes) if asked is None else asked
    if kinds == {(side, side)}:
        return sizes[0], ()
    known = f"of {len(kinds):,} sizes" if len(kinds) > 1 else f"of {sizes[0][0]}x{sizes[0][1]} pixels"
    advice = "; --image-size N chooses another size" if asked is None else ""
    return (side, side), (f"pictures {known} are scaled and cut to {side}x{side}{advice}",)


def _read_header(path: Path) -> _Header:
    with open_picture(path, decode=False) as image, decoding(path, image):
        stored = image.size
        size = stored[::-1] if orientation(image) in _LYING else stored
        return _Header(size, stored, channels(image), path.stat().st_size)


def _read_image(path: Path, header: _Header, shape: tuple[int, int, int]) -> HostArray:
    with open_picture(path) as image, decoding(path, image):
        if (image.size, channels(image)) != (header.stored, header.channels):
            raise DataError(f"{path}: it was changed while it was read")
        return prepared(image, shape)


def _in_parts(listing: Listing, images: HostArray, labels: HostArray) -> Arrays:
    if listing.divided:
        if len(labels) < 5 or len(labels) == len(listing.classes):
            raise DataError(
                f"{listing.root}: {len(labels)} images of {len(listing.classes)} classes are too few to test on a "
                "fifth of each"
            )
        train, test = validation_split(Split(images, labels), TEST_FRACTION, TEST_SEED)
        return Arrays(train.images, train.labels, test.images, test.labels)
    count = len(listing.parts["train"])
    return Arrays(images[:count], labels[:count], images[count:], labels[count:])
