"""A lock on a folder that ends with the process that holds it, so that it is never stale.

The system keeps the lock, not the file: after a SIGKILL or a power cut the empty file is still there, but unlocked.
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
"""Errors that mean that another process has the lock: the first two on POSIX, all but the first on Windows."""

_WITHOUT_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS)
"""Errors from a file system without locks; a run there has to do without one."""


class Held(Exception):  # noqa: N818 - named after the lock's state
    """Somebody else has the lock."""


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Hold the folder's lock during a ``with`` block. Its file stays: deleting it could release another's lock.

    Raises
    ------
    Held
        Another process holds it, or other code in this one.
    OSError
        The lock's file cannot be made, for instance in a read-only folder, or is a link.
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
    """Lock the file without waiting; it is unlocked when it is closed or the process ends."""
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
