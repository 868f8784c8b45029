"""A flat cache of the images and labels of a data set, mapped into memory instead of read.

One data set is one file in the safetensors format: the length of a header, the header in JSON (a name, type, shape
and place for each array, and the manifest: format version, source, fingerprint of the source's files), then the arrays.
The last array, ``crc32``, is the checksum of all bytes before it, so that damage anywhere is seen. As there is one
file, replacing it is atomic: whoever reads sees the old one or the new one, however many processes start at once.
"""

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xnn.data.splits import Arrays, HostArray
from xnn.errors import DataError
from xnn.paths import expanded, reason

ENVIRONMENT_VARIABLE = "XNN_CACHE_DIR"
FORMAT_VERSION = 1
_ALIGNMENT = 64
_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype(np.uint8), "I64": np.dtype("<i8")}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_CHECKSUM = "crc32"


@dataclass(frozen=True, eq=False)
class Cached:
    """What the cache holds, or is to hold, of a data set; `file` is None until it is read from there."""

    arrays: Arrays
    source: str
    classes: tuple[str, ...]
    fingerprint: str
    file: Path | None = None


class DamagedCache(Exception):  # noqa: N818 - a state that is mended here, never an error for the caller
    """A cache file that cannot be trusted."""


def cache_directory(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the cache: `cache_dir`, else ``$XNN_CACHE_DIR``, else the user's cache folder.

    Raises
    ------
    DataError
        If the folder that was named is an impossible one.
    """
    chosen = cache_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return expanded(chosen, "cache directory", DataError).resolve()
    import platformdirs

    return Path(platformdirs.user_cache_dir("xnn"))


def fingerprint(paths: Iterable[Path]) -> str:
    """Return a digest of the name, size and time of last change of each file.

    Raises
    ------
    DataError
        If a file is not there.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        digest.update(json.dumps([str(path), status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()


def load_or_build(
    path: Path,
    expected_fingerprint: str,
    build: Callable[[], tuple[Arrays, tuple[str, ...]]],
    source: str,
    report: Callable[[str], None],
) -> Cached:
    """Return what the cache file holds, made anew from the source where it is missing, outdated or damaged.

    A cache that cannot be written is reported and done without.
    """
    cached = load(path, report)
    if cached is not None:
        if cached.fingerprint == expected_fingerprint:
            return cached
        report(f"the cache {path} was made from other files ({cached.source}); it is made anew from {source}")
    arrays, classes = build()
    built = Cached(arrays, source, classes, expected_fingerprint)
    try:
        save(path, built)
    except OSError as error:
        report(f"the cache {path} cannot be written ({reason(error)}); going on without it")
        return built
    # Mapped rather than in memory, unless another process has meanwhile cached another source.
    mapped = load(path, report)
    return mapped if mapped is not None and mapped.fingerprint == expected_fingerprint else built


def load(path: Path, report: Callable[[str], None]) -> Cached | None:
    """Return what the cache file holds, mapped into memory; None without one, or, with a report, if it is unusable."""
    try:
        return _parse(path) if path.is_file() else None
    except OSError as error:
        report(f"the cache {path} cannot be read ({reason(error)})")
        return None
    # ValueError: an empty file, or a header that is no JSON; RecursionError: JSON nested too deeply.
    except (ValueError, LookupError, TypeError, RecursionError, DamagedCache) as error:
        report(f"the cache {path} is damaged or of another version ({error}); it will be made anew")
        return None


def save(path: Path, cached: Cached) -> None:
    """Write a cache file under a temporary name beside `path`, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = {name: _storable(array) for name, array in cached.arrays._asdict().items()}
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            checksum = 0
            for block in (np.frombuffer(_header(blocks, cached), np.uint8), *blocks.values()):
                file.write(block.data)
                checksum = zlib.crc32(block.data, checksum)
            file.write(checksum.to_bytes(4, "little"))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _storable(array: HostArray) -> HostArray:
    return np.ascontiguousarray(array, np.uint8 if array.dtype == np.uint8 else np.dtype("<i8"))


def _header(blocks: dict[str, HostArray], cached: Cached) -> bytes:
    """Return the length of the header and the header, padded so that the arrays begin at a multiple of 64 bytes."""
    header: dict[str, Any] = {
        "__metadata__": {
            "format_version": str(FORMAT_VERSION),
            "source": cached.source,
            "fingerprint": cached.fingerprint,
            "classes": json.dumps(cached.classes),
        }
    }
    start = 0
    for name, block in blocks.items():
        stop = start + block.nbytes
        entry = {"dtype": _DTYPE_NAMES[block.dtype], "shape": block.shape, "data_offsets": [start, stop]}
        header[name] = entry
        start = stop
    header[_CHECKSUM] = {"dtype": "U8", "shape": [4], "data_offsets": [start, start + 4]}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _parse(path: Path) -> Cached:
    content: HostArray = np.asarray(np.memmap(path, np.uint8, "r"))
    if zlib.crc32(content[:-4].data) != int.from_bytes(content[-4:].tobytes(), "little"):
        raise DamagedCache("its checksum is wrong")
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    header = json.loads(content[8:start].tobytes())
    manifest = header["__metadata__"]
    if manifest["format_version"] != str(FORMAT_VERSION):
        raise DamagedCache(f"its format is {manifest['format_version']}, expected {FORMAT_VERSION}")

    def array(name: str) -> HostArray:
        entry = header[name]
        first, last = entry["data_offsets"]
        data: HostArray = content[start + first : start + last].view(_DTYPES[entry["dtype"]])
        return data.reshape(tuple(entry["shape"]))

    arrays = Arrays(*(array(name) for name in Arrays._fields))
    classes = tuple(json.loads(manifest["classes"]))
    return Cached(arrays, manifest["source"], classes, manifest["fingerprint"], path)
