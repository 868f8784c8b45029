"""The IDX format of the MNIST family, plain or compressed by gzip.

A file has two zero bytes, a byte for the type of the elements, a byte for the number of axes, then the size of each
axis (4 bytes, most significant first), then the elements in C order. Images and labels are unsigned bytes, type 8.
"""

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from xnn.data.gunzip import Gunzip
from xnn.data.limits import MOST_AXES, check_room, most_unpacked
from xnn.data.splits import HostArray, check_labels
from xnn.errors import DataError
from xnn.files import open_regular
from xnn.paths import explained

UNSIGNED_BYTE = 8


def read_idx(path: Path, axes: int | None = None) -> npt.NDArray[np.uint8]:
    """Return the array in an IDX file; a file whose name ends in ``.gz`` is decompressed.

    Parameters
    ----------
    path : Path
        The file.
    axes : int, optional
        How many axes the array must have: 3 for images, 1 for labels.

    Raises
    ------
    DataError
        If the file cannot be read, is not gzip although its name says so, is too short or too long, does not hold
        unsigned bytes in that many axes, or is larger than the memory or `xnn.data.limits` allow.
    """
    with explained(DataError, f"{path}: cannot be read"), open_regular(path) as file:
        return _read(file, path, axes)


def _read(file: BinaryIO, path: Path, axes: int | None) -> npt.NDArray[np.uint8]:
    """Read the header, then the data it promises, and one more byte to find out whether the file is too long."""
    packed = path.suffix == ".gz"
    content = Gunzip(file, str(path)) if packed else file
    shape = _read_shape(content, path, axes)
    start = 4 + 4 * len(shape)
    expected = start + math.prod(shape)
    size = os.fstat(file.fileno()).st_size
    check_room(min(expected, most_unpacked(size) if packed else size), str(path))
    if packed:
        elements = content.read(expected - start)
        found = start + len(elements) + len(content.read(1))
    else:
        found = size
        elements = content.read(expected - start) if found == expected else b""
    if found != expected:
        fault = "truncated" if found < expected else "too long"
        more = " or more" if packed and found > expected else ""
        raise DataError(f"{path}: {fault}: {found} bytes{more}, but an array of shape {shape} takes {expected}")
    if len(elements) != expected - start:
        raise DataError(f"{path}: it was changed while it was read")
    return np.frombuffer(elements, np.uint8).reshape(shape)


def _read_shape(content: "Gunzip | BinaryIO", path: Path, axes: int | None) -> tuple[int, ...]:
    magic = bytes(content.read(4))
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path}: not an IDX file (it starts with {magic.hex() or 'nothing'})")
    kind, found_axes = magic[2:]
    if kind != UNSIGNED_BYTE:
        raise DataError(f"{path}: IDX elements of type {kind:#x}; only unsigned bytes (0x8) are read")
    if not 0 < found_axes <= MOST_AXES or (axes is not None and found_axes != axes):
        raise DataError(f"{path}: IDX array of {found_axes} axes, expected {axes or f'1 to {MOST_AXES}'}")
    sizes = bytes(content.read(4 * found_axes))
    if len(sizes) < 4 * found_axes:
        raise DataError(f"{path}: truncated within the header of {4 + 4 * found_axes} bytes")
    shape = struct.unpack(f">{found_axes}I", sizes)
    if 0 in shape:
        raise DataError(f"{path}: the IDX array of shape {shape} is empty")
    return shape


def read_pair(images_path: Path, labels_path: Path, classes: int) -> tuple[HostArray, HostArray]:
    """Return the images (n, h, w, 1) and the labels (n,) of an MNIST-like pair of files.

    Raises
    ------
    DataError
        If a file is bad, the counts differ, or a label is out of range.
    """
    images, labels = read_idx(images_path, axes=3), read_idx(labels_path, axes=1)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}: {len(labels)} labels, but {images_path.name} beside it holds {len(images)} images"
        )
    check_labels(labels, classes, str(labels_path))
    return images[..., None], labels.astype(np.int64)
