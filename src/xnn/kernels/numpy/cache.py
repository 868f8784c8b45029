"""Numba's cache of compiled functions, with a checksum over each file.

Numba unpickles the files as they are and runs the machine code that it finds. A file that a full disk or a crash has
cut short fails every time until someone deletes it, and a flipped bit may have any effect. Here, if a file does not
match its checksum, its function is compiled again, the file is overwritten, and a line says so.
"""

import hashlib
import io
import itertools
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.serialize import dumps

from xnn._notes import note
from xnn.kernels.compiling import compilations

_DIGEST = hashlib.sha256().digest_size


class SealedCache(FunctionCache):
    """The cache of one function; its files are where Numba's would be, under other names.

    Raises
    ------
    RuntimeError
        There is no writable folder.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]  # Numba's own
        name, stamp = f"{self._impl.filename_base}.sealed", self._impl.locator.get_source_stamp()
        self._cache_file = _SealedFiles(self._cache_path, name, stamp)  # type: ignore[no-untyped-call]  # Numba's own

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code, if the disk lets us."""
        try:
            with compilations.keeping():
                super().save_overload(sig, data)  # type: ignore[no-untyped-call]  # Numba's own
        except OSError as error:
            note(f"compiled kernels cannot be kept in {self.cache_path} ({error.strerror}): each process compiles anew")


class _SealedFiles(IndexDataCacheFile):
    """The files of a cache: the SHA-256 of everything after it, Numba's version, a line feed, and the pickles.

    In a file of code, the source's stamp and the signature come first, and are checked before the code is unpickled.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep the code of one signature; Numba's method writes the index first, which may then name older code."""
        overloads = self._load_index()
        name = overloads.get(key) or self._unused(overloads)
        self._write(self._path(name), (self._source_stamp, key), data)
        if key not in overloads:
            self._save_index(overloads | {key: name})

    def load(self, key: Any) -> Any:
        """Return the code of one signature, or None if there is none for this source."""
        name = self._load_index().get(key)
        content = None if name is None else self._read(self._path(name))
        if content is None:
            return None
        # File names are reused, and another process may have written this file since.
        stream = io.BytesIO(content)
        if pickle.load(stream) != (self._source_stamp, key):  # noqa: S301 - what Numba wrote, by the checksum
            return None
        return pickle.load(stream)  # noqa: S301 - the same

    def _unused(self, overloads: dict[Any, str]) -> str:
        names = (self._data_name_pattern.format(number=number) for number in itertools.count(1))
        return next(name for name in names if name not in overloads.values())

    def _load_index(self) -> dict[Any, str]:
        content = self._read(self._index_path)
        if content is None:
            return {}
        stamp, overloads = pickle.loads(content)  # noqa: S301 - what Numba wrote, by the checksum
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, (self._source_stamp, overloads))

    def _path(self, name: str) -> str:
        return os.path.join(self._cache_path, name)  # noqa: PTH118 - Numba's paths are texts

    def _read(self, path: str) -> bytes | None:
        """Return a file's content, or None if there is no file, or none of this version of Numba."""
        try:
            sealed = Path(path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(error.strerror)
            return None
        if hashlib.sha256(sealed[_DIGEST:]).digest() != sealed[:_DIGEST]:
            self._complain("damaged")
            return None
        version, _, content = sealed[_DIGEST:].partition(b"\n")
        return content if version == self._version.encode() else None

    def _write(self, path: str, *contents: Any) -> None:
        pickles = (dumps(content) for content in contents)  # type: ignore[no-untyped-call]  # Numba's own
        body = self._version.encode() + b"\n" + b"".join(pickles)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(body).digest() + body)

    def _complain(self, reason: str | None) -> None:
        note(f"compiled kernels in {self._cache_path} cannot be read ({reason}): they are compiled anew")
