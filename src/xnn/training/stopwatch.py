"""Time spent, across stops and resumes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Seconds that passed while it was running, beginning from `elapsed`."""

    def __init__(self, elapsed: float = 0.0) -> None:
        # One tuple, replaced as a whole: the bar's thread may read it at any moment.
        self._state: tuple[float, float | None] = (elapsed, None)

    @property
    def elapsed(self) -> float:
        """Seconds so far; may be read while it runs."""
        before, since = self._state
        return before + (0.0 if since is None else perf_counter() - since)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run for the duration of a ``with`` block."""
        self._state = (self.elapsed, perf_counter())
        try:
            yield
        finally:
            self._state = (self.elapsed, None)
