"""The threads that kernels compute with.

A kernel cuts its batch into as many contiguous parts as there are threads, and each thread works through its own part
with BLAS held to one thread. OpenBLAS's own threads would spin, waiting for the next product, while ours compute.
A part depends on the number of threads alone, so sums over the batch come out the same bit for bit each time.
"""

import functools
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, cast

import numpy as np
from threadpoolctl import ThreadpoolController

from xnn._typing import Array
from xnn.kernels.threads import count, is_set

_local = threading.local()


class Threads:
    """A number of threads, and the work that is spread over them.

    Parameters
    ----------
    count : int
        The calling thread included.

    Attributes
    ----------
    alone : context manager
        Holds BLAS to one thread inside the block, so that its own threads are not in the way.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._others = ThreadPoolExecutor(count - 1, thread_name_prefix="xnn") if count > 1 else None
        self.alone = _Alone()

    def parts(self, length: int, least: int = 1) -> list[range]:
        """Cut ``range(length)`` into one contiguous range a thread, none shorter than `least` if there are several."""
        count = max(min(self.count, length // max(least, 1)), 1)
        bounds = [length * part // count for part in range(count + 1)]
        return [range(start, stop) for start, stop in itertools.pairwise(bounds)]

    def run(self, task: Callable[[range], Any], parts: list[range]) -> list[Any]:
        """Return ``task(part)`` for each part, all computed at once, BLAS at one thread in each."""
        with self.alone:
            return self._run(task, parts)

    def _run(self, task: Callable[[range], Any], parts: list[range]) -> list[Any]:
        if self._others is None or len(parts) == 1:
            return [task(part) for part in parts]
        futures = [self._others.submit(task, part) for part in parts[1:]]
        try:
            results = [task(parts[0])]
        finally:
            # No thread may still be writing when an error is on its way.
            wait(futures)
        return results + [future.result() for future in futures]


class _Alone:
    """Context in which BLAS has one thread; a context inside another, or in another thread, costs next to nothing."""

    def __init__(self) -> None:
        self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        self._lock = threading.Lock()
        self._depth = 0
        self._before: list[int] = []

    def limit(self, count: int) -> None:
        """Have BLAS use no more than `count` threads anywhere in the process."""
        for library in self._libraries:
            library.set_num_threads(min(count, library.get_num_threads()))

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._before = [library.get_num_threads() for library in self._libraries]
                for library in self._libraries:
                    library.set_num_threads(1)
            self._depth += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                for library, count in zip(self._libraries, self._before, strict=True):
                    library.set_num_threads(count)


@functools.cache
def threads() -> Threads:
    """Return the process's threads: as many as `xnn.kernels.threads.count` says."""
    chosen = Threads(count())
    if is_set():
        chosen.alone.limit(chosen.count)
    return chosen


def scratch(name: str, length: int) -> Array:
    """Return float32 working memory of this thread: the same each time, with whatever the last use left in it."""
    arrays = _local.__dict__
    array = arrays.get(name)
    if array is None or array.size < length:
        # Growing by a quarter, so that a slightly longer last batch does not make it grow again.
        array = arrays[name] = np.empty(length + length // 4, dtype=np.float32)
    return cast(Array, array)[:length]
