"""The file of a study: Optuna's journal, locked by the system.

Each change is a line, appended and flushed to the disk before anything else happens. Optuna's own lock is a link that
stays when its process is killed, so that all others wait for half a minute, and a line that a full disk cut short is
joined to the next one, which makes the file unreadable. Here the system holds the lock and drops it with the process,
and whoever gets it first removes such a line.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xnn.errors import RunError, to_install
from xnn.files import Folder
from xnn.paths import explained
from xnn.runs import lock

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "journal"


def locks_of(path: Path) -> Folder:
    """Open the folder of a study's locks, which stands beside its file."""
    with explained(RunError, f"--storage {path}: cannot be used"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with Folder(path.parent) as parent:
            return parent.child(f"{path.name}.locks", make=True)


@contextmanager
def held(locks: Folder, name: str, *, wait: bool = False) -> Iterator[None]:
    """Hold one of a study's locks during a ``with`` block; without locks two processes would run the same trial.

    Raises
    ------
    Held
        Somebody else has it; not with `wait`.
    RunError
        The file system has no locks, or the lock's file cannot be made.
    """
    with ExitStack() as stack:
        with explained(RunError, f"--storage: a sweep needs locks, and {locks.path} cannot be locked"):
            stack.enter_context(lock.locked(locks, name, wait=wait, required=True))
        yield


def open_storage(path: Path, locks: Folder) -> "BaseStorage":
    """Return Optuna's storage in a file, which is made if it is missing.

    Raises
    ------
    RunError
        It cannot be read or written, or is no journal of Optuna's; or Optuna is not installed.
    """
    try:
        from optuna import logging
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ModuleNotFoundError as error:
        raise RunError(f"a sweep needs {error.name}: {to_install('sweep')}") from None
    logging.set_verbosity(logging.ERROR)
    with explained(RunError, f"--storage {path}: cannot be used"):
        if path.exists() and not path.is_file():
            raise RunError(f"--storage {path}: is no file")
        try:
            # Optuna's base class of locks is not public; what it calls is `acquire` and `release`.
            return JournalStorage(JournalFileBackend(str(path), lock_obj=cast(Any, JournalLock(path, locks))))
        except RunError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise RunError(f"--storage {path}: is no journal of Optuna's, or is damaged: {said}") from error


class JournalLock:
    """A lock as Optuna's `JournalFileBackend` takes it, which ends with its process.

    Parameters
    ----------
    path
        The journal.
    locks
        Where the lock's file is.
    """

    def __init__(self, path: Path, locks: Folder) -> None:
        self._path, self._locks = path, locks
        self._held = ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock, and remove a last line that was not written to its end."""
        self._held.enter_context(held(self._locks, JOURNAL, wait=True))
        try:
            _cut_back(self._path)
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        """Let others have it."""
        self._held.close()


def _cut_back(path: Path) -> None:
    """Cut a file back to its last whole line."""
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            start = max(end - 2**16, 0)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
