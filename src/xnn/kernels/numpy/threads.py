"""The threads that kernels compute with.

A kernel cuts its batch into as many contiguous parts as there are threads, and each thread works through its own part
with BLAS held to one thread. OpenBLAS's own threads would spin, waiting for the next product, while ours compute.
A part depends on the number of threads alone, so sums over the batch come out the same bit for bit each time.
"""

import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from threadpoolctl import ThreadpoolController

from xnn._typing import Array
from xnn.errors import SettingError

ENVIRONMENT_VARIABLE = "XNN_NUM_THREADS"

_local = threading.local()


class Threads:
    """A number of threads, and the work that is spread over them.

    Parameters
    ----------
    count : int
        The calling thread included.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._others = ThreadPoolExecutor(count - 1, thread_name_prefix="xnn") if count > 1 else None
        self._lock = threading.Lock()
        self._depth = 0
        self._before: list[int] = []
        self._blas = ThreadpoolController().select(user_api="blas").lib_controllers

    def parts(self, length: int, least: int = 1) -> list[range]:
        """Cut ``range(length)`` into one contiguous range a thread, none shorter than `least` if there are several."""
        count = max(min(self.count, length // max(least, 1)), 1)
        bounds = [length * part // count for part in range(count + 1)]
        return [range(start, stop) for start, stop in itertools.pairwise(bounds)]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold BLAS to one thread inside the block, so that its own threads are not in the way."""
        with self._lock:
            if self._depth == 0:
                self._before = [library.get_num_threads() for library in self._blas]
                for library in self._blas:
                    library.set_num_threads(1)
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    for library, count in zip(self._blas, self._before, strict=True):
                        library.set_num_threads(count)

    def run(self, task: Callable[[range], Any], parts: list[range]) -> list[Any]:
        """Return ``task(part)`` for each part, all computed at once, BLAS at one thread in each."""
        if self._depth == 0:
            with self.alone():
                return self.run(task, parts)
        if self._others is None or len(parts) == 1:
            return [task(part) for part in parts]
        futures = [self._others.submit(task, part) for part in parts[1:]]
        try:
            results = [task(parts[0])]
        finally:
            # No thread may still be writing when an error is on its way.
            wait(futures)
        return results + [future.result() for future in futures]


@functools.cache
def threads() -> Threads:
    """Return the process's threads: as many as ``$XNN_NUM_THREADS`` says, all cores by default."""
    return Threads(_count(os.environ.get(ENVIRONMENT_VARIABLE, "")))


def _count(text: str) -> int:
    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(f"${ENVIRONMENT_VARIABLE} must be a positive integer, not {text!r}")
    return int(text)


def scratch(name: str, length: int) -> Array:
    """Return float32 working memory of this thread: the same each time, with whatever the last use left in it."""
    arrays = _local.__dict__
    array = arrays.get(name)
    if array is None or array.size < length:
        # Growing by a quarter, so that a slightly longer last batch does not make it grow again.
        array = arrays[name] = np.empty(length + length // 4, dtype=np.float32)
    return cast(Array, array)[:length]
