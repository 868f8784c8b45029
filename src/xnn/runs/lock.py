"""A lock on a folder that ends with the process that holds it, so that it is never stale.

The system keeps the lock, not the file: after a SIGKILL or a power cut the empty file is still there, but unlocked.
"""

import errno
import os
import sys
import time
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


_PAUSE = 0.01
"""Seconds between two attempts to get a lock that somebody else has."""


@contextmanager
def locked(folder: Folder, name: str = NAME, *, wait: bool = False, required: bool = False) -> Iterator[None]:
    """Hold a lock of the folder's during a ``with`` block. Its file stays: deleting it could release another's lock.

    Parameters
    ----------
    folder
        Where the file is.
    name
        The file's name: a folder may have several locks.
    wait
        Whether to wait while somebody else has the lock.
    required
        Whether a file system without locks is an error; else the block runs there without one.

    Raises
    ------
    Held
        Another process holds it, or other code in this one; not with `wait`.
    OSError
        The lock's file cannot be made, for instance in a read-only folder, or is a link; with `required`, also if the
        file system has no locks.
    """
    with os.fdopen(folder.open(name, os.O_RDWR | os.O_CREAT), "r+b") as file:
        while True:
            try:
                _lock(file.fileno())
            except OSError as error:
                if error.errno in _HELD:
                    if wait:
                        time.sleep(_PAUSE)
                        continue
                    raise Held from error
                if error.errno not in _WITHOUT_LOCKS or required:
                    raise
            break
        yield


def _lock(descriptor: int) -> None:
    """Lock the file without waiting; it is unlocked when it is closed or the process ends."""
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
