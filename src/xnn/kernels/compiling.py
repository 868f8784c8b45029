"""What compiling takes: twins are compiled where they are first called, once, which is no part of the work itself.

Whatever compiles tells `compilations`; whoever measures work asks `working_time`, which stands still meanwhile.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter


class Compilations:
    """What this process has compiled. One thread compiles at a time, others may look.

    Attributes
    ----------
    names : list of str
        What was compiled, or is being compiled, in order, each name once.

    Examples
    --------
    >>> from xnn.kernels.compiling import Compilations
    >>> compilations = Compilations()
    >>> compilations.begin("relu")
    >>> compilations.end()
    >>> compilations.names
    ['relu']
    """

    def __init__(self) -> None:
        # One tuple, replaced as a whole: other threads may read it at any moment.
        self._state: tuple[float, float | None] = (0.0, None)
        self._depth = 0
        self._mine = threading.local()
        self._listeners: list[Callable[[str], None]] = []
        self.names: list[str] = []

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        before, since = self._state
        return before + (0.0 if since is None else perf_counter() - since)

    @property
    def now(self) -> str | None:
        """What is being compiled, None where nothing is."""
        return None if self._state[1] is None or not self.names else self.names[-1]

    def begin(self, name: str) -> None:
        """Note that something is to be compiled; what it needs itself may be announced within."""
        if self._is_beside:
            return
        self._start()
        if self._depth > 1:
            return
        if name in self.names:
            self.names.remove(name)
        self.names.append(name)
        for listener in self._listeners:
            listener(name)

    def end(self) -> None:
        """Note that it is done."""
        if self._is_beside:
            return
        self._depth -= 1
        if not self._depth:
            self._state = (self.seconds, None)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Count the time of a ``with`` block too, in which what has been compiled is kept for other processes."""
        self._start()
        try:
            yield
        finally:
            self.end()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Leave out what the calling thread compiles during a ``with`` block, which no work waits for."""
        self._mine.is_beside = True
        try:
            yield
        finally:
            self._mine.is_beside = False

    @property
    def _is_beside(self) -> bool:
        return getattr(self._mine, "is_beside", False)

    def _start(self) -> None:
        if self._is_beside:
            return
        self._depth += 1
        if self._depth == 1:
            self._state = (self._state[0], perf_counter())

    @contextmanager
    def heard(self, listener: Callable[[str], None]) -> Iterator[None]:
        """Call a listener with each name that begins during a ``with`` block; the thread is the one that compiles."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def working_time(self) -> float:
        """Return a clock's seconds, which does not run while something is compiled."""
        before, since = self._state
        return (perf_counter() if since is None else since) - before


compilations = Compilations()
