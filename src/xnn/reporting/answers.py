"""What a saved model sees in pictures, which may be more than the memory holds: they are read a batch at a time."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from xnn.data.pictures import SUFFIXES, is_passed_over, is_picture
from xnn.data.splits import HostArray
from xnn.errors import DataError
from xnn.paths import expanded, reason
from xnn.reporting.evaluation import probabilities
from xnn.reporting.pictures import read_picture
from xnn.reporting.saved import SavedModel

LISTED = "-"
"""Stands for the paths on standard input."""
_MOST_IN_BATCH = 64
_MOST_NUMBERS = 2**20
"""Numbers that the images of a batch hold at most: a layer may make some dozens of each, in 4 bytes."""
_LONGEST_LINE = 2**16
"""Bytes of a line on standard input that are read at once: no path is as long."""


@dataclass(frozen=True)
class Answer:
    """What a model sees in a picture.

    Attributes
    ----------
    image
        The picture's path, as it was named or found.
    top
        (class, probability), the likeliest first.

    Examples
    --------
    >>> from xnn.reporting.answers import Answer
    >>> Answer("boot.png", [(9, 0.98), (7, 0.02)]).top[0]
    (9, 0.98)
    """

    image: str
    top: list[tuple[int, float]]


def pictures_named(
    names: Iterable[str], refuse: Callable[[str, DataError], None], listed: BinaryIO | None = None
) -> Iterator[str]:
    """Give the path of each picture.

    Parameters
    ----------
    names
        Of files, which are given as they are; of folders, whose pictures are given in the order of their names, those
        of each folder before those of its subfolders; and ``-`` for what is `listed`.
    refuse
        Gets the name of a folder that cannot be read, or holds no picture, and what is wrong.
    listed
        Names of files and folders, one a line.
    """
    for name in names:
        if name == LISTED:
            yield from _expanded(_lines(listed), refuse)
        else:
            yield from _expanded([name], refuse)


def answers(
    saved: SavedModel,
    paths: Iterable[str],
    top: int,
    refuse: Callable[[str, DataError], None],
    *,
    invert: bool = False,
) -> Iterator[list[Answer]]:
    """Give a model's answers to picture files, some at a time, in order.

    Parameters
    ----------
    saved
    paths
        Of the pictures; the next ones are asked for once those before are answered.
    top
        How many classes to name.
    refuse
        Gets the path of a file that is not a readable picture, and what is wrong; it may raise.
    invert
        As for `xnn.reporting.pictures.read_picture`.

    Raises
    ------
    RunError
        The model's outputs are not finite.
    """
    size = max(1, min(_MOST_IN_BATCH, _MOST_NUMBERS // math.prod(saved.image_shape)))
    remaining = iter(paths)
    while chunk := list(islice(remaining, size)):
        pictures: dict[int, HostArray] = {}
        for place, path in enumerate(chunk):
            try:
                pictures[place] = read_picture(path, saved.image_shape, invert=invert)
            except DataError as error:
                refuse(path, error)
        if pictures:
            rows = probabilities(saved, np.stack(list(pictures.values())))
            yield [Answer(chunk[place], _likeliest(row, top)) for place, row in zip(pictures, rows, strict=True)]


def _likeliest(row: HostArray, top: int) -> list[tuple[int, float]]:
    return [(int(i), float(row[i])) for i in np.argsort(-row, kind="stable")[:top]]


def _expanded(names: Iterable[str], refuse: Callable[[str, DataError], None]) -> Iterator[str]:
    for name in names:
        try:
            place = expanded(name, "picture", DataError)
            if not place.is_dir():
                yield name
                continue
        except DataError as error:
            refuse(name, error)
            continue
        yield from _in_folder(place, refuse)


def _in_folder(folder: Path, refuse: Callable[[str, DataError], None]) -> Iterator[str]:
    """Give the pictures in a folder; what a system keeps beside them, or is hidden, is passed over."""
    is_empty = True  # unless something is found in it, be it only a fault

    def complain(fault: OSError) -> None:
        nonlocal is_empty
        is_empty = False
        refuse(str(fault.filename), DataError(f"{fault.filename}: cannot be read: {reason(fault)}"))

    for place, folders, files in os.walk(folder, onerror=complain):
        folders[:] = sorted(name for name in folders if not is_passed_over(name))
        for name in sorted(files):
            if is_picture(name):
                is_empty = False
                yield str(Path(place) / name)
    if is_empty:
        refuse(str(folder), DataError(f"{folder}: there is no picture in this folder ({', '.join(SUFFIXES)})"))


def _lines(listed: BinaryIO | None) -> Iterator[str]:
    """Give the lines of a stream that are not empty, as the system spells paths."""
    while line := b"" if listed is None else listed.readline(_LONGEST_LINE):
        name = line.rstrip(b"\r\n")
        if name:
            yield os.fsdecode(name)
