"""A flat cache of a data set's images and labels, which is mapped into memory rather than read.

One data set is one file in the safetensors format: the length of a header, the header in JSON (name, type, shape and
place of each array, and the manifest: format version, source, fingerprint of the source's files), then the arrays. The
last array, ``crc32``, is the checksum of all bytes before it, so that damage anywhere is noticed. Since there is only
one file, replacing it is atomic: a reader sees the old one or the new one, however many processes start at once.

Anyone who may write to the folder of a shared cache can choose what others train on, but do nothing else: a file is
used only if its checksum is right and its header describes such arrays within it; a link, a pipe or a device never is.
Python cannot guard against a file that is truncated while it is mapped: the system then ends the process (SIGBUS).
"""

import errno
import hashlib
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from xnn._typing import Report
from xnn.data.splits import Arrays, Content, HostArray
from xnn.errors import DataError, FolderGone
from xnn.files import Folder, open_regular
from xnn.paths import expanded, explained, reason

ENVIRONMENT_VARIABLE = "XNN_CACHE_DIR"
FORMAT_VERSION = 1
_ALIGNMENT = 64
_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype(np.uint8), "I64": np.dtype("<i8")}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_CHECKSUM = "crc32"
_HERE = "./"
"""Prefix of a source in the cache's own folder, which may be mounted in several places."""
_MOST_HEADER = 2**23
"""Bytes, enough for the names of a hundred thousand classes."""
_FEW, _BLOCK, _SMALL_BLOCK = 1000, 2**16, 2**12


@dataclass(frozen=True, eq=False)
class Cached:
    """What the cache holds, or is to hold, of a data set; `file` is None until it is read from there.

    What `divided` tells, as in `Dataset`, is not part of the file.
    """

    arrays: Arrays
    source: str
    classes: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()
    file: Path | None = None
    divided: bool = False

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self.arrays.train_images.shape[1:3]
        return height, width


class DamagedCache(Exception):  # noqa: N818 - a state that is repaired here, never an error for the caller
    """A cache file that cannot be trusted."""


def cache_directory(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the cache: `cache_dir`, else ``$XNN_CACHE_DIR``, else the user's cache folder.

    Raises
    ------
    DataError
        If the system cannot look up the given folder.
    """
    chosen = cache_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return expanded(chosen, "cache directory", DataError).resolve()
    import platformdirs

    return Path(platformdirs.user_cache_dir("xnn"))


def fingerprint(paths: Iterable[Path], root: Path, *, unreadable: bool = False) -> str:
    """Return a digest of the name, size, time of last change and content of each file; names are relative to `root`.

    It covers the first, the middle and the last block of each file, or all of a small file. Blocks have 64 KiB, or
    4 KiB if there are more than 1000 files, so that ten thousand images take half a second.

    Raises
    ------
    DataError
        If a file is not there, or is a pipe or a device; with `unreadable` such a file counts by its name alone.
    """
    paths = list(paths)
    block = _BLOCK if len(paths) <= _FEW else _SMALL_BLOCK
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            with explained(DataError, f"{path}: cannot be read"), open_regular(path) as file:
                _add(file, name, block, digest)
        except DataError:
            if not unreadable:
                raise
            digest.update(json.dumps([name]).encode())
    return digest.hexdigest()


def _add(file: BinaryIO, name: str, block: int, digest: "hashlib._Hash") -> None:
    status = os.fstat(file.fileno())
    digest.update(json.dumps([name, status.st_size, status.st_mtime_ns]).encode())
    if status.st_size <= 3 * block:
        digest.update(file.read(3 * block))
        return
    for start in (0, (status.st_size - block) // 2, status.st_size - block):
        file.seek(start)
        digest.update(file.read(block))


def load_or_build(
    path: Path,
    expected_fingerprint: str,
    build: Callable[[], Content],
    source: str,
    report: Report,
) -> Cached:
    """Return what the cache file holds; rebuild it from the source if it is missing, outdated or damaged.

    If the cache cannot be written, a report says so, and the images are used without it.
    """
    cached = load(path, report)
    if cached is not None:
        if cached.fingerprint == expected_fingerprint:
            return cached
        made = f"from other files or in another way ({cached.source})"
        report(f"the cache {path} was made {made}; it is rebuilt from {source}")
    content = build()
    built = Cached(content.arrays, source, content.classes, expected_fingerprint, content.notes)
    try:
        save(path, built)
    except OSError as error:
        report(f"the cache {path} cannot be written ({reason(error)}); going on without it")
        return built
    # Map it rather than keep it in memory, unless another process has meanwhile cached another source.
    mapped = load(path, report)
    return mapped if mapped is not None and mapped.fingerprint == expected_fingerprint else built


def load(path: Path, report: Report) -> Cached | None:
    """Return what the cache file holds, mapped into memory; None if there is none or, with a report, it is unusable."""
    try:
        with Folder(path.parent) as folder, os.fdopen(folder.open(path.name, os.O_RDONLY), "rb") as file:
            return _parse(np.asarray(np.memmap(file, np.uint8, "r")), path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        report(f"the cache {path} cannot be read ({reason(error)})")
        return None
    # ValueError: an empty file, or a header that is not JSON; RecursionError: JSON nested too deeply.
    except (ValueError, LookupError, TypeError, RecursionError, DamagedCache) as error:
        fault = " ".join(str(error)[:200].split())
        report(f"the cache {path} is damaged or of another version ({fault}); it will be rebuilt")
        return None


def save(path: Path, cached: Cached) -> None:
    """Write a cache file under a temporary name beside `path`, then move it there in one step.

    It first removes half-written files that killed processes left there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = {name: _storable(array) for name, array in cached.arrays.named().items()}
    within = f"{path.parent}{os.sep}"
    source = _HERE + cached.source.removeprefix(within) if cached.source.startswith(within) else cached.source
    header = _header(blocks, cached, source)
    try:
        with Folder(path.parent) as folder:
            folder.remove_temporaries()
            folder.write(path.name, _pieces(header, blocks.values()))
    except FolderGone as error:
        raise OSError(errno.ENOENT, str(error)) from None


def _pieces(header: bytes, blocks: Iterable[HostArray]) -> Iterator[Any]:
    checksum = 0
    pieces: list[Any] = [header, *(block.reshape(-1).view(np.uint8) for block in blocks)]
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
        yield piece
    yield checksum.to_bytes(4, "little")


def _storable(array: HostArray) -> HostArray:
    return np.ascontiguousarray(array, np.uint8 if array.dtype == np.uint8 else np.dtype("<i8"))


def _header(blocks: dict[str, HostArray], cached: Cached, source: str) -> bytes:
    """Return the length of the header and the header, padded so that the arrays begin at a multiple of 64 bytes."""
    header: dict[str, Any] = {
        "__metadata__": {
            "format_version": str(FORMAT_VERSION),
            "source": source,
            "fingerprint": cached.fingerprint,
            "classes": json.dumps(cached.classes),
            "notes": json.dumps(cached.notes),
        }
    }
    start = 0
    for name, block in blocks.items():
        stop = start + block.nbytes
        header[name] = {"dtype": _DTYPE_NAMES[block.dtype], "shape": block.shape, "data_offsets": [start, stop]}
        start = stop
    header[_CHECKSUM] = {"dtype": "U8", "shape": [4], "data_offsets": [start, start + 4]}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    if len(text) > _MOST_HEADER:
        raise OSError(errno.EFBIG, "the names of its classes take too much room")
    return len(text).to_bytes(8, "little") + text


def _parse(content: HostArray, path: Path) -> Cached:
    """Read a file's content; raise a `DamagedCache`, or what `load` treats as one, if `save` did not write it."""
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    if start > min(len(content), 8 + _MOST_HEADER):
        raise DamagedCache("its header is too long")
    header = json.loads(content[8:start].tobytes())
    # First the length, which costs nothing to check: a sparse file may have any length.
    if start + header[_CHECKSUM]["data_offsets"][1] != len(content):
        raise DamagedCache("it has the wrong length")
    if zlib.crc32(content[:-4].data) != int.from_bytes(content[-4:].tobytes(), "little"):
        raise DamagedCache("its checksum is wrong")
    manifest = header["__metadata__"]
    if manifest["format_version"] != str(FORMAT_VERSION):
        raise DamagedCache(f"its format is {manifest['format_version']}, expected {FORMAT_VERSION}")
    pairs = ["train", "test", *(["validation"] if "validation_images" in header else [])]
    names = [f"{pair}_{kind}" for pair in pairs for kind in ("images", "labels")]
    arrays = Arrays(*(_array(content[start:], header[name]) for name in names))
    # Files of earlier versions have no notes.
    classes, notes = json.loads(manifest["classes"]), json.loads(manifest.get("notes", "[]"))
    texts = (*classes, *notes, manifest["source"], manifest["fingerprint"])
    if not (isinstance(classes, list) and isinstance(notes, list) and all(isinstance(text, str) for text in texts)):
        raise DamagedCache("its classes or its source are not text")
    _check_arrays(arrays, len(classes))
    source = manifest["source"]
    if source.startswith(_HERE):
        source = f"{path.parent}{os.sep}{source.removeprefix(_HERE)}"
    return Cached(arrays, source, tuple(classes), manifest["fingerprint"], tuple(notes), path)


def _array(content: HostArray, entry: dict[str, Any]) -> HostArray:
    """Return the array that an entry of the header describes; `content` begins where the header ends."""
    dtype, shape, (first, last) = _DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if not all(type(number) is int and 0 <= number <= len(content) for number in (first, last, *shape)):
        raise DamagedCache("an array lies outside of it")
    if len(shape) > 4 or last - first != math.prod(shape) * dtype.itemsize:
        raise DamagedCache("an array does not fill its shape")
    data: HostArray = content[first:last].view(dtype)
    return data.reshape(shape)


def _check_arrays(arrays: Arrays, classes: int) -> None:
    """Raise a DamagedCache unless the images have one shape, and each has one label or two, all of them classes."""
    for images, labels in arrays.pairs:
        if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
            raise DamagedCache("its images are not images")
        if labels.dtype != np.dtype("<i8") or labels.shape not in ((len(images),), (len(images), 2)):
            raise DamagedCache("its labels do not fit its images")
        if labels.min() < 0 or labels.max() >= classes:
            raise DamagedCache("a label has no class")
    if len({images.shape[1:] for images, _ in arrays.pairs}) > 1:
        raise DamagedCache("its images have different shapes")
