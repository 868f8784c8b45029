"""Time spent, across stops and resumes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from xnn.kernels.compiling import compilations


class Stopwatch:
    """Seconds that passed while it was running, beginning from `elapsed`, by a clock; by default the system's."""

    def __init__(self, elapsed: float = 0.0, clock: Callable[[], float] | None = None) -> None:
        # One tuple, replaced as a whole: the progress bar's thread may read it at any moment.
        self._state: tuple[float, float | None] = (elapsed, None)
        self._now = clock or (lambda: perf_counter())

    @property
    def elapsed(self) -> float:
        """Seconds so far; may be read while it runs."""
        before, since = self._state
        return before + (0.0 if since is None else self._now() - since)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run for the duration of a ``with`` block."""
        self._state = (self.elapsed, self._now())
        try:
            yield
        finally:
            self._state = (self.elapsed, None)


def working_clock(elapsed: float = 0.0) -> Stopwatch:
    """Return a stopwatch that stands still while kernels are compiled."""
    return Stopwatch(elapsed, compilations.working_time)
