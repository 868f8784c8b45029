"""Time spent, across stops and resumes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Seconds that passed while it was running, beginning from `elapsed`."""

    def __init__(self, elapsed: float = 0.0) -> None:
        self._before = elapsed
        self._since: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds so far; may be read while it runs."""
        return self._before + (0.0 if self._since is None else perf_counter() - self._since)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run for the time of a ``with`` block."""
        self._since = perf_counter()
        try:
            yield
        finally:
            self._before, self._since = self.elapsed, None
