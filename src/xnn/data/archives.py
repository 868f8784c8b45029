"""Files read from a folder or straight from a tar archive; nothing is ever extracted to disk."""

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from xnn.errors import DataError
from xnn.paths import reason

_CHUNK = 2**20


def read_files(location: Path, folder: str, sizes: Mapping[str, range]) -> dict[str, bytes]:
    """Return the content of each named file.

    Parameters
    ----------
    location : Path
        A folder that holds the files, or a ``.tar.gz`` that holds them in a folder of its own.
    folder : str
        The name of the folder within the archive.
    sizes : mapping of str to range
        The files wanted, each with the sizes it may have. A file of another size is not read.

    Raises
    ------
    DataError
        If a file is missing, unreadable or of a wrong size, or the archive is damaged or has a member that would
        leave its folder.
    """
    if location.is_dir():
        contents = {name: _read_file(location / name, size) for name, size in sizes.items()}
    else:
        contents = _read_archive(location, folder, sizes)
    return contents


def _read_file(path: Path, sizes: range) -> bytes:
    try:
        _check_size(path.stat().st_size, sizes, str(path))
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: missing; the other files of the data set are beside it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({reason(error)})") from None


def _read_archive(path: Path, folder: str, sizes: Mapping[str, range]) -> dict[str, bytes]:
    wanted = {PurePosixPath(folder, name): name for name in sizes}
    contents: dict[str, bytes] = {}
    try:
        with gzip.open(path) as content, tarfile.open(fileobj=content, mode="r:") as archive:
            for member in archive:
                refuse_escape(member, path)
                name = wanted.get(PurePosixPath(member.name))
                stream = archive.extractfile(member) if name else None
                if name and stream:
                    _check_size(member.size, sizes[name], f"{path}:{member.name}")
                    contents[name] = stream.read()
            # A tar archive has no checksum of its content; gzip compares its own at the very end.
            while content.read(_CHUNK):
                pass
    except DataError:
        raise
    # ValueError: numbers that are none in an extended (PAX) header.
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise DataError(
            f"{path}: the archive is truncated or damaged ({error or 'unexpected end'}); get it anew"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({reason(error)})") from None
    missing = [name for name in sizes if name not in contents]
    if missing:
        raise DataError(f"{path}: lacks {folder}/{missing[0]}; get it anew")
    return contents


def refuse_escape(member: tarfile.TarInfo, archive: Path) -> None:
    """Raise a DataError if a member of an archive points outside the folder it belongs to, or is no plain file."""
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1]:
        raise DataError(f"{archive}: refused, its member '{member.name}' points outside the archive's folder")
    if not (member.isfile() or member.isdir()):
        raise DataError(f"{archive}: refused, its member '{member.name}' is a link or a device, not a file")


def _check_size(size: int, sizes: range, where: str) -> None:
    if size not in sizes:
        expected = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        raise DataError(f"{where}: wrong length: {size} bytes, expected {expected}")
