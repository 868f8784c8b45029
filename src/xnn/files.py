"""Files that are written whole or not at all, and read only if they are what they should be.

A folder may come from a stranger. So a file is never written through a link: it is made under a random name that
nobody can have planted, flushed, and renamed. And only regular files of a bounded size are read: a pipe could keep us
waiting for ever, and a device may never end.

A failure is an `OSError` whose ``strerror`` says what went wrong; the functions that take paths turn it into a
`RunError`.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, BinaryIO

from xnn.errors import FolderGone, RunError
from xnn.paths import explained

if sys.platform != "win32":
    import fcntl

_CALLS = {os.open, os.stat, os.unlink, os.mkdir, os.rename}
_BY_DESCRIPTOR = os.supports_dir_fd >= _CALLS and os.listdir in os.supports_fd
"""Whether the system can address a file by an open folder and a name. Windows cannot, so the path is used there."""

# Of these, Windows has only O_BINARY; without it, it would write its own line ends.
_BINARY = getattr(os, "O_BINARY", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]+\.tmp", re.DOTALL)
_NAME_KEPT = 50
"""Characters of the file's name to keep, so that the temporary name fits into the 255 bytes that a name may have."""


class Folder:
    """A folder that is opened once: files are addressed within it, whatever becomes of its path.

    Use it as a context manager, or call `close`.

    Parameters
    ----------
    path : Path
        An existing folder. A link to one is followed here, but not in `child`.

    Raises
    ------
    OSError
        There is no such folder, or it may not be entered.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from xnn.files import Folder
    >>> with tempfile.TemporaryDirectory() as path, Folder(Path(path)) as folder:
    ...     folder.write("notes.txt", b"one")
    ...     folder.names()
    ['notes.txt']
    """

    def __init__(self, path: Path) -> None:
        self._take(path, os.open(path, os.O_RDONLY | _DIRECTORY) if _BY_DESCRIPTOR else None)

    def _take(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._absolute = path.absolute()  # a program may change its working directory
        self._number, self._is_closed = descriptor, False
        self._identity = _identity(path.stat() if descriptor is None else os.fstat(descriptor))

    def child(self, name: str, *, make: bool = False) -> "Folder":
        """Return a folder in this one; with `make`, make it if it is missing. A link is refused."""
        if make:
            self.check()
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._place(name), dir_fd=self._descriptor)
                self.sync()
        if not stat.S_ISDIR(self._status(name).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is not a folder, or is a link to one")
        folder = Folder.__new__(Folder)
        flags = os.O_RDONLY | _DIRECTORY | _NOFOLLOW
        folder._take(self.path / name, os.open(name, flags, dir_fd=self._descriptor) if _BY_DESCRIPTOR else None)
        return folder

    def close(self) -> None:
        """Close the folder; any later use of it raises a `ValueError`."""
        if self._number is not None and not self._is_closed:
            os.close(self._number)
        self._is_closed = True

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def check(self) -> None:
        """Raise `FolderGone` unless the path still leads to the folder that was opened."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if _identity(self._absolute.stat()) == self._identity:
                return
        raise FolderGone(f"the folder {self.path} was deleted, renamed or replaced while it was in use")

    def names(self) -> list[str]:
        """Return the names in the folder, sorted."""
        place = self.path if self._descriptor is None else self._descriptor
        return sorted(os.listdir(place))  # noqa: PTH208 - a Path takes no descriptor

    def exists(self, name: str) -> bool:
        """Whether there is anything of that name, even a link that leads nowhere."""
        try:
            self._status(name)
        except FileNotFoundError:
            return False
        return True

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that name, not a link to one."""
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """Return how many bytes a regular file has; None if there is none of that name, or only a link."""
        try:
            status = self._status(name)
        except FileNotFoundError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def open(self, name: str, flags: int) -> int:
        """Open a regular file, not a link to one, and return its descriptor; the umask sets the mode of a new file."""
        options = flags | _BINARY | _NOFOLLOW | _NONBLOCK
        try:
            if self._descriptor is None:
                if (self.path / name).is_symlink():
                    raise OSError(errno.ELOOP, "")
                descriptor = os.open(self.path / name, options, 0o666)
            else:
                descriptor = os.open(name, options, 0o666, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.ELOOP, "is a symbolic link, which is not followed here") from None
            raise
        return _regular(descriptor)

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a regular file, not a link to one, of at most `limit` bytes."""
        with os.fdopen(self.open(name, os.O_RDONLY), "rb") as file:
            # A file that grows meanwhile is not read to its end.
            size = os.fstat(file.fileno()).st_size
            content = file.read(size + 1) if size <= limit else b""
        if max(size, len(content)) > limit:
            raise OSError(errno.EFBIG, f"is larger than the {limit:,} bytes that such a file may have")
        return content

    def write(self, name: str, content: bytes | Iterable[Any]) -> None:
        """Write a file, given whole or in pieces, under `name`, replacing what is there, even a link.

        A reader sees the old file or the new one, even after a kill or a power cut.
        """
        self.check()
        while not self._write_once(name, content):
            pass

    def _write_once(self, name: str, content: bytes | Iterable[Any]) -> bool:
        """Return whether it was written; if not, another process mistook the unfinished file for a leftover."""
        pieces: Iterable[Any] = (content,) if isinstance(content, bytes) else content
        temporary = f".{name[:_NAME_KEPT]}.{secrets.token_hex(8)}.tmp"
        try:
            with os.fdopen(self.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                _hold(file)
                if not os.fstat(file.fileno()).st_nlink:
                    return False
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
                if _BY_DESCRIPTOR:  # still held, so that nobody mistakes it for a leftover
                    self._rename(temporary, name)
            if not _BY_DESCRIPTOR:  # Windows does not rename an open file
                self._rename(temporary, name)
            self.sync()
        except FileExistsError:  # the temporary file is somebody else's
            raise
        except BaseException:
            self.remove(temporary)
            raise
        return True

    def append(self, name: str, content: bytes) -> None:
        """Append to a file; once this returns, a kill cannot undo it."""
        self.check()
        with os.fdopen(self.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
            file.write(content)

    def remove(self, name: str) -> None:
        """Delete a file; it is not an error if the file does not exist."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._place(name), dir_fd=self._descriptor)

    def sync(self) -> None:
        """Make renames and deletions durable, if the system can."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def remove_temporaries(self) -> None:
        """Delete our half-written files that killed processes left, but none that another process is writing."""
        for name in self.names():
            if not (is_temporary(name) and self.has(name)):
                continue
            with contextlib.suppress(FileNotFoundError, PermissionError):
                if not _BY_DESCRIPTOR:  # Windows does not delete an open file
                    self.remove(name)
                    continue
                with os.fdopen(self.open(name, os.O_RDWR), "r+b") as file:
                    if _hold(file):
                        self.remove(name)

    @property
    def _descriptor(self) -> int | None:
        if self._is_closed:
            raise ValueError(f"the folder {self.path} is closed")
        return self._number

    def _place(self, name: str) -> str | Path:
        return self.path / name if self._descriptor is None else name

    def _status(self, name: str) -> os.stat_result:
        return os.stat(self._place(name), dir_fd=self._descriptor, follow_symlinks=False)

    def _rename(self, old: str, new: str) -> None:
        os.replace(self._place(old), self._place(new), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)


def is_temporary(name: str) -> bool:
    """Whether a name belongs to a file that is being written, or was when its process was killed."""
    return _TEMPORARY.fullmatch(name) is not None


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, or one that a link leads to, for reading piece by piece.

    Raises
    ------
    OSError
        It cannot be read, or is a folder, a pipe or a device.
    """
    return os.fdopen(_regular(os.open(path, os.O_RDONLY | _BINARY | _NONBLOCK)), "rb")


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, even after a power cut.

    Raises
    ------
    RunError
        The file cannot be written (permissions, a full disk). The old file is still there.
    """
    with explained(RunError, f"cannot write {path}"), Folder(path.parent) as folder:
        folder.write(path.name, content)


def append(path: Path, content: bytes) -> None:
    """Append `content` to `path`; the system has it when this returns, so that a kill loses nothing.

    Raises
    ------
    RunError
        It cannot be written, or only a part of it.
    """
    with explained(RunError, f"cannot write {path}"), Folder(path.parent) as folder:
        folder.append(path.name, content)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _regular(descriptor: int) -> int:
    """Return the descriptor of a regular file; close any other and raise an OSError."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is a folder" if stat.S_ISDIR(mode) else "is a pipe or a device, not a regular file")


def _hold(file: IO[bytes]) -> bool:
    """Lock a file until it is closed, while it is being written; False if another process has it, or may have it."""
    if sys.platform == "win32":
        return True  # Windows does not delete an open file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks: better to keep a leftover than to delete a file in use
        return False
    return True
