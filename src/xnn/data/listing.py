"""Which pictures make up a data set, and how they become its images.

All headers are looked at before anything is decoded. Where the pictures have one size, the images have it too; pictures
of several sizes, or of all sizes where one is asked for, become squares.
"""

import os
import statistics
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xnn.data.limits import FREELY_IN_A_FOLDER, check_room, check_unpacked
from xnn.data.pictures import LYING, channels, decoding, open_picture, orientation
from xnn.data.preparing import prepared_file
from xnn.data.splits import Arrays, Content, HostArray, Split, validation_split
from xnn.errors import DataError

TEST_FRACTION, TEST_SEED = 0.2, 0
MOST_SIDE = 8192
"""The most that an image's side is scaled to: as large as the largest pictures."""
_AUTOMATIC, _STEP = 64, 8
_SHOWN = 5
"""Bad files that are named."""
_LONGEST = 1000
"""Letters in the name of a class, which the files of a run keep."""


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
        The pictures of ``train``, ``test`` and perhaps ``validation``; or of ``train`` alone, a fifth of which is to
        be the test set.
    """

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, list[Picture]]

    @property
    def divided(self) -> bool:
        """Whether the test images are to be chosen here."""
        return "test" not in self.parts

    @property
    def pictures(self) -> list[Picture]:
        """All of them, in order."""
        return [picture for part in self.parts.values() for picture in part]

    @property
    def paths(self) -> list[Path]:
        """All files, in order."""
        return [picture.path for picture in self.pictures]

    def without(self, bad: Container[Picture]) -> "Listing":
        """Return what is left without some pictures.

        Raises
        ------
        DataError
            Nothing is left of a class, in one of the parts that had it.
        """
        left = {name: [picture for picture in part if picture not in bad] for name, part in self.parts.items()}
        for name, part in self.parts.items():
            gone = {picture.label for picture in part} - {picture.label for picture in left[name]}
            if gone:
                where = f" in {name}" if len(self.parts) > 1 else ""
                raise DataError(f"{self.root}: no image of the class '{self.classes[min(gone)]}'{where} can be read")
        return replace(self, parts=left)


class _Header(NamedTuple):
    """What a picture's header says; `size` is the width and height once it is upright."""

    size: tuple[int, int]
    stored: tuple[int, int]
    channels: int
    packed: int


def check_class(name: str, where: str) -> None:
    """Raise a DataError that names `where` if the name of a class is too long to be kept."""
    if len(name) > _LONGEST:
        raise DataError(f"{where}: the name of the class {name[:40]!a}... has more than {_LONGEST} letters; shorten it")


def read_listing(listing: Listing, image_size: int | None = None, *, skip_bad: bool = False) -> Content:
    """Return the images and labels; grey pictures have one channel unless another is in colour.

    Parameters
    ----------
    listing : Listing
    image_size : int, optional
        The side of the squares to which the pictures are scaled and cut. By default they keep their size if all have
        the same, and else it is `automatic_size`.
    skip_bad : bool
        Whether to leave out files that are no pictures, or damaged.

    Raises
    ------
    DataError
        If a file is no picture, there is only one class, there are too few pictures, or all together are larger than
        the memory or `xnn.data.limits` allow.
    """
    if len(listing.classes) < 2:
        raise DataError(
            f"{listing.root}: all images are of one class, '{listing.classes[0]}', and there is nothing to tell apart; "
            "each class needs a folder of its own, or a label"
        )
    faults: dict[Picture, str] = {}
    headers: list[_Header] = []
    for picture in listing.pictures:
        with _skipping(picture, faults if skip_bad else None):
            headers.append(_read_header(picture.path))
    given = len(listing.pictures)
    listing = listing.without(faults)
    check_unpacked(
        sum(header.size[0] * header.size[1] * header.channels for header in headers),
        sum(header.packed for header in headers),
        str(listing.root),
        freely=FREELY_IN_A_FOLDER,
    )
    (width, height), notes = image_size_of([header.size for header in headers], image_size)
    shape = (height, width, max(header.channels for header in headers))
    # They are copied when they are divided.
    check_room(2 * len(headers) * height * width * shape[2], str(listing.root))
    stack, count = np.empty((len(headers), *shape), np.uint8), 0
    for picture, header in zip(listing.pictures, headers, strict=True):
        with _skipping(picture, faults if skip_bad else None):
            stack[count] = prepared_file(picture.path, shape, header.stored)
            count += 1
    if faults:
        notes += (f"--skip-bad leaves out {len(faults):,} of {given:,} pictures:", *_shown(faults, listing.root))
        listing = listing.without(faults)
    return Content(_in_parts(listing, stack[:count]), listing.classes, notes)


@contextmanager
def _skipping(picture: Picture, faults: dict[Picture, str] | None) -> Iterator[None]:
    """Note what is wrong with a picture instead of raising it, if there is a dictionary for that."""
    try:
        yield
    except DataError as error:
        if faults is None:
            raise DataError(f"{error}; --skip-bad leaves such files out") from None
        faults[picture] = str(error)


def _shown(faults: dict[Picture, str], root: Path) -> list[str]:
    """Return a line for each of the first five, which names its picture within the folder of the data set."""
    folder = root if root.is_dir() else root.parent
    lines = [f"  {fault.removeprefix(f'{folder}{os.sep}')}" for fault in islice(faults.values(), _SHOWN)]
    return lines if len(faults) <= _SHOWN else [*lines, f"  ... and {len(faults) - _SHOWN:,} more"]


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
        size = stored[::-1] if orientation(image) in LYING else stored
        return _Header(size, stored, channels(image), path.stat().st_size)


def _in_parts(listing: Listing, images: HostArray) -> Arrays:
    labels = np.array([picture.label for picture in listing.pictures], np.int64)
    if listing.divided:
        if len(labels) < 5 or len(labels) == len(listing.classes):
            raise DataError(
                f"{listing.root}: {len(labels)} images of {len(listing.classes)} classes are too few to test on a "
                "fifth of each"
            )
        train, test = validation_split(Split(images, labels), TEST_FRACTION, TEST_SEED)
        return Arrays(train.images, train.labels, test.images, test.labels)
    places, start = {}, 0
    for name, part in listing.parts.items():
        places[name] = slice(start, start + len(part))
        start += len(part)
    names = [name for name in ("train", "test", "validation") if name in places]
    return Arrays(*(array[places[name]] for name in names for array in (images, labels)))
