"""The IDX format of the MNIST family, plain or compressed by gzip.

A file is: two zero bytes, a byte for the type of the elements, a byte for the number of axes, then the size of each
axis (4 bytes, most significant first), then the elements in C order. Images and labels are unsigned bytes, type 8.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnn.data.splits import HostArray, check_labels
from xnn.errors import DataError
from xnn.paths import reason

UNSIGNED_BYTE = 8


def read_idx(path: Path, axes: int | None = None) -> npt.NDArray[np.uint8]:
    """Return the array held by an IDX file; one whose name ends in ``.gz`` is decompressed.

    Parameters
    ----------
    path : Path
        The file.
    axes : int, optional
        How many axes the array must have: 3 for images, 1 for labels.

    Raises
    ------
    DataError
        If the file cannot be read, is not gzip though its name says so, is truncated or has a byte too many, or
        does not hold unsigned bytes in that many axes.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{path}: not an IDX file (it starts with {content[:4].hex() or 'nothing'})")
    kind, found_axes = content[2], content[3]
    if kind != UNSIGNED_BYTE:
        raise DataError(f"{path}: IDX elements of type {kind:#x}; only unsigned bytes (0x8) are read")
    if found_axes == 0 or (axes is not None and found_axes != axes):
        raise DataError(f"{path}: IDX array of {found_axes} axes, expected {axes or 'at least one'}")
    start = 4 + 4 * found_axes
    if len(content) < start:
        raise DataError(f"{path}: truncated within the header of {start} bytes")
    shape = struct.unpack(f">{found_axes}I", content[4:start])
    expected = start + math.prod(shape)
    if 0 in shape:
        raise DataError(f"{path}: the IDX array of shape {shape} is empty")
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "too long"
        raise DataError(f"{path}: {fault}: {len(content)} bytes, but an array of shape {shape} takes {expected}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


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


def write_idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    """Write an array of unsigned bytes as IDX, compressed when the name ends in ``.gz``, the same bytes each time."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, UNSIGNED_BYTE, array.ndim, *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content, 9, mtime=0) if path.suffix == ".gz" else content)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return _decompress(path, content) if path.suffix == ".gz" else content
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({reason(error)})") from None


def _decompress(path: Path, content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        raise DataError(f"{path}: not a gzip file, though its name ends in .gz")
    try:
        return gzip.decompress(content)
    except EOFError:
        raise DataError(f"{path}: the gzip file is truncated ({len(content)} bytes); get it anew") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip file is damaged ({error}); get it anew") from None
