"""A lock on a folder that ends with the process that holds it, so that none is ever stale.

The system keeps it, not the file: after a SIGKILL or a power cut the empty file is still there, locked by nobody.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from xnn.files import Folder

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = ".lock"

_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""What the systems say where another process has the lock: POSIX either of the first two, Windows any but the first."""

_WITHOUT_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS)
"""What a file system without locks says; a run there does without, as there is no other way."""


class Held(Exception):  # noqa: N818 - named after what is the case
    """Somebody else has the lock."""


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Hold the folder's lock during a ``with`` block. Its file stays: deleting it could free another's lock.

    Raises
    ------
    Held
        Another process holds it, or another place in this one.
    OSError
        The lock's file cannot be made, as in a folder that may not be written to, or is a link.
    """
    with os.fdopen(folder.open(NAME, os.O_RDWR | os.O_CREAT), "r+b") as file:
        try:
            _lock(file.fileno())
        except OSError as error:
            if error.errno in _HELD:
                raise Held from error
            if error.errno not in _WITHOUT_LOCKS:
                raise
        yield


def _lock(descriptor: int) -> None:
    """Lock the file without waiting; closing it, or the end of the process, unlocks it."""
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
