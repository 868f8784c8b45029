"""Silencing other libraries' remarks on damaged files, from several threads at once.

Both standard error and Python's warning filters belong to the whole process. If each thread saved and restored them,
one thread could undo another's change; so here the first thread in changes them and the last one out restores them.
"""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


class Together:
    """A context for the whole process: the first thread in enters it, the last one out leaves it.

    A forked process, which does not have those other threads, leaves it at once.

    Parameters
    ----------
    make : callable
        Returns the context.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._depth = 0
        self._context: AbstractContextManager[None] = nullcontext()
        if hasattr(os, "register_at_fork"):
            # While the lock is held, no thread is half-way in or out.
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._leave_in_child
            )

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._context = self._make()
                self._context.__enter__()
            self._depth += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            # It is 0 if this thread entered, forked, and now leaves in the child.
            if self._depth:
                self._depth -= 1
                if self._depth == 0:
                    self._context.__exit__(None, None, None)

    def _leave_in_child(self) -> None:
        if self._depth:
            self._depth = 0
            self._context.__exit__(None, None, None)
        self._lock.release()


@contextmanager
def _stderr_dropped() -> Iterator[None]:
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _warnings_dropped() -> AbstractContextManager[None]:
    return warnings.catch_warnings(action="ignore")


no_stderr = Together(_stderr_dropped)
"""Drops what C libraries write directly to the process's standard error."""

_shared_filters = Together(_warnings_dropped)


def no_warnings() -> AbstractContextManager[None]:
    """Return a context without warnings."""
    # From 3.14 on, Python can keep separate filters for each thread, and does so without the GIL.
    return _warnings_dropped() if getattr(sys.flags, "context_aware_warnings", False) else _shared_filters
