"""How far apart two cores are, and timing only while they are near each other.

The host of a virtual machine may move its cores, every few seconds, from places that share a cache to places that do
not, and back. While they are apart, whatever two threads compute together takes up to 1.7 times as long: a training
step of 784-128-10 with 128 images took 0.46 and 0.78 ms on such a machine. A turn is therefore repeated if the cores
were far apart before or after it.
"""

import importlib
import importlib.util
import os
import time
from collections.abc import Callable

_FAR = 3.0
"""How many times as far as ever seen counts as far; on the machine that this was written on, 50 and 350 ns were."""
_PAUSE = 0.5
"""Seconds to wait for the host to move the cores again."""


class Cores:
    """The first two cores that this process may use.

    Parameters
    ----------
    threads : int
        How many threads are timed; of one thread nothing depends on the distance.
    patience : int
        How often a turn is repeated at most.
    """

    def __init__(self, threads: int, patience: int = 40) -> None:
        pinned = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
        is_known = threads > 1 and len(pinned) == 2 and importlib.util.find_spec("numba") is not None
        self._cores = pinned if is_known else None
        self._patience = patience
        self._nearest = float("inf")

    @property
    def are_near(self) -> bool:
        """Whether the cores are about as near as they were ever seen; always true where nothing can be measured."""
        if self._cores is None:
            return True
        # Not earlier: it loads NumPy, which a benchmark first gives its number of threads.
        found: float = importlib.import_module("benchmarks.ping_pong").distance(*self._cores)
        self._nearest = min(self._nearest, found)
        return found < _FAR * self._nearest

    def while_near(self, turn: Callable[[], float]) -> float:
        """Return the result of a turn that began and ended with the cores near each other, or else of the last one."""
        for _ in range(self._patience):
            if self.are_near:
                result = turn()
                if self.are_near:
                    return result
            else:
                time.sleep(_PAUSE)
        return turn()
