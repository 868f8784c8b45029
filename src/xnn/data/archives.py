"""Reading files from a folder or directly from a tar archive; nothing is ever extracted to disk."""

import os
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, cast

from xnn.data.gunzip import Gunzip
from xnn.data.limits import check_room
from xnn.errors import DataError
from xnn.files import open_regular
from xnn.paths import explained

_MOST_HEADER = 2**12
_MOST_HEADERS = 2**18
"""Most bytes in one header, and in all of them. A CIFAR archive has ten headers of half a KB each."""
_BESIDES = 2**26
"""Most bytes in an archive besides the files that are wanted."""


def read_files(location: Path, folder: str, sizes: Mapping[str, range]) -> dict[str, bytes]:
    """Return the content of each named file.

    Parameters
    ----------
    location : Path
        A folder that holds the files, or a ``.tar.gz`` that holds them in a folder of its own.
    folder : str
        The name of the folder within the archive.
    sizes : mapping of str to range
        The files to read, each with the sizes it may have. A file of another size is not read.

    Raises
    ------
    DataError
        If a file is missing, unreadable or of a wrong size, if all together do not fit into memory, or if the archive
        is damaged, has a member that would leave its folder or is not a plain file, or unpacks to more than such an
        archive can hold.
    """
    check_room(sum(size[0] for size in sizes.values()), str(location))
    if location.is_dir():
        return {name: _read_file(location / name, size) for name, size in sizes.items()}
    return _read_archive(location, folder, sizes)


def _read_file(path: Path, sizes: range) -> bytes:
    with explained(DataError, f"{path}: cannot be read"):
        try:
            file = open_regular(path)
        except FileNotFoundError:
            raise DataError(f"{path}: missing; the other files of the data set are beside it") from None
        with file:
            _check_size(os.fstat(file.fileno()).st_size, sizes, str(path))
            content = file.read(sizes[-1])
    _check_size(len(content), sizes, str(path))
    return content


def _read_archive(path: Path, folder: str, sizes: Mapping[str, range]) -> dict[str, bytes]:
    wanted = {PurePosixPath(folder, name): name for name in sizes}
    contents: dict[str, bytes] = {}
    try:
        with explained(DataError, f"{path}: cannot be read"), open_regular(path) as file:
            content = Gunzip(file, str(path), _BESIDES + sum(size[-1] for size in sizes.values()))
            # tarfile calls only these three methods.
            with tarfile.open(fileobj=cast("IO[bytes]", _Headers(content, path)), mode="r:") as archive:
                for member in archive:
                    refuse_escape(member, path)
                    name = wanted.get(PurePosixPath(member.name))
                    if name and member.isfile():
                        _check_size(member.size, sizes[name], f"{path}:{member.name}")
                        contents[name] = bytes(content.read(member.size))
                        _check_size(len(contents[name]), sizes[name], f"{path}:{member.name}")
            # A tar archive has no checksum of its content; gzip checks its own at the very end.
            content.skip(2**62)
    except DataError:
        raise
    # ValueError: a malformed number in an extended (PAX) header. RecursionError: headers nested too deeply.
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: the archive is truncated or damaged ({error or 'unexpected end'}); download it again"
        ) from None
    missing = [name for name in sizes if name not in contents]
    if missing:
        raise DataError(f"{path}: lacks {folder}/{missing[0]}; download it again")
    return contents


class _Headers:
    """An archive's content as `tarfile` reads it: forwards only, and with a limit on headers."""

    def __init__(self, content: Gunzip, path: Path) -> None:
        self._content, self._path = content, path
        self._left = _MOST_HEADERS

    def tell(self) -> int:
        return self._content.position

    def seek(self, position: int) -> None:
        if position < self._content.position:
            raise tarfile.ReadError("its members overlap")
        self._content.skip(position - self._content.position)

    def read(self, size: int) -> bytes:
        self._left -= size
        if size > _MOST_HEADER or self._left < 0:
            raise DataError(f"{self._path}: refused, its headers are larger than those of a data set")
        return bytes(self._content.read(size))


def refuse_escape(member: tarfile.TarInfo, archive: Path) -> None:
    """Raise a DataError if a member of an archive points outside the folder it belongs to, or is not a plain file."""
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1]:
        raise DataError(f"{archive}: refused, its member '{member.name}' points outside the archive's folder")
    if member.issparse() or not (member.isfile() or member.isdir()):
        raise DataError(
            f"{archive}: refused, its member '{member.name}' is a link, a device or sparse, not a plain file"
        )


def _check_size(size: int, sizes: range, where: str) -> None:
    if size not in sizes:
        expected = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        raise DataError(f"{where}: wrong length: {size} bytes, expected {expected}")
