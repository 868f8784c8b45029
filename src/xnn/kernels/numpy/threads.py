"""The threads that kernels compute with.

A kernel cuts its batch into as many contiguous parts as there are threads, and each thread works through its own part
with BLAS held to one thread. OpenBLAS's own threads would spin, waiting for the next product, while ours compute.
A part depends on the number of threads alone, so sums over the batch come out the same bit for bit each time.
"""

import contextlib
import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from threadpoolctl import ThreadpoolController

from xnn._typing import Array
from xnn.kernels.numpy.awake import Awake
from xnn.kernels.numpy.memory import aligned
from xnn.kernels.threads import count, is_set

_local = threading.local()

_PIECES = 8
"""For each thread, at most."""

_LEAST_WORK = 2**20
"""Fewest multiplications, of some tens of microseconds, that pay for handing out several calls."""


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
    alone_but_for_products : context manager
        The same, except that a large product may lift it for as long as it takes.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._workers = [_Worker() for _ in range(count - 1)]
        self._awake = Awake(count)
        # Held by the thread whose work is spread; another that comes meanwhile computes on its own.
        self._busy = threading.Lock()
        self.alone = _Alone()
        self.alone_but_for_products = _AloneButForProducts(self.alone)

    def parts(self, length: int, least: int = 1) -> list[range]:
        """Cut ``range(length)`` into one contiguous range a thread, none shorter than `least` if there are several."""
        return _cut(length, max(min(self.count, length // max(least, 1)), 1))

    def pieces(self, length: int, least: int) -> list[range]:
        """Cut ``range(length)`` into several ranges a thread, none shorter than `least`, or one a thread if it's short.

        They are for work without sums over the batch: a thread that the system holds up leaves the rest to the others.
        """
        count = min(_PIECES * self.count, length // max(least, 1))
        return self.parts(length) if count <= self.count or self.count == 1 else _cut(length, count)

    def run(self, task: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
        """Return ``task(part)`` for each part, BLAS at one thread in each.

        All are computed at once; of more parts than threads, each thread takes the next one when it is free.
        """
        with self.alone:
            if len(parts) == 1 or not self._busy.acquire(blocking=False):
                return [task(part) for part in parts]
            try:
                return self._share(task, parts)
            finally:
                self._busy.release()

    def spread(self, kernel: Callable[..., None], arrays: Sequence[Array], least: int) -> None:
        """Run an elementwise kernel over contiguous arrays of one shape, a part of `least` numbers or more a thread."""
        flat = [array.reshape(-1) for array in arrays]
        size = flat[0].size
        if size < 2 * least:
            kernel(*flat)
        else:
            self.run(lambda part: kernel(*(a[part.start : part.stop] for a in flat)), self.parts(size, least))

    def side_by_side(self, calls: Sequence[Callable[[], object]], work: Sequence[int]) -> None:
        """Make independent calls, each with about so many multiplications to do, the longest first.

        NumPy treats errors of floating point in all of them as it does in the calling thread.
        """
        if len(calls) < 2 or self.count == 1 or sum(work) < _LEAST_WORK:
            for call in calls:
                call()
            return
        errors = np.geterr()

        def make(call: Callable[[], object]) -> None:
            with np.errstate(**errors):
                call()

        self.run(make, [calls[number] for number in sorted(range(len(calls)), key=lambda number: -work[number])])

    def _share(self, task: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
        if len(parts) > self.count:
            return self._take_turns(task, parts)
        self._awake.beat()
        workers = self._workers[: len(parts) - 1]
        for worker, part in zip(workers, parts[1:], strict=True):
            worker.start(task, part)
        try:
            results = [task(parts[0])]
        finally:
            # No thread may still be writing when an error is on its way.
            for worker in workers:
                worker.wait()
        return results + [worker.result() for worker in workers]

    def _take_turns(self, task: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
        left, results = deque(enumerate(parts)), [None] * len(parts)

        def work(_: int) -> None:
            # A deque is safe to take from in several threads.
            while True:
                try:
                    number, part = left.popleft()
                except IndexError:
                    return
                results[number] = task(part)

        self._share(work, range(self.count))
        return results


def as_slice(part: range) -> slice:
    """Return what cuts a part out of an array."""
    return slice(part.start, part.stop)


def _cut(length: int, count: int) -> list[range]:
    """Return so many contiguous ranges."""
    bounds = [length * part // count for part in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]


class _Worker:
    """A thread that waits for a task; two locks hand it over."""

    def __init__(self) -> None:
        self._begin, self._end = threading.Lock(), threading.Lock()
        self._begin.acquire()
        self._end.acquire()
        threading.Thread(target=self._work, name="xnn", daemon=True).start()

    def start(self, task: Callable[[Any], Any], part: Any) -> None:
        """Have ``task(part)`` computed."""
        self._task, self._part = task, part
        self._begin.release()

    def wait(self) -> None:
        """Return when it is computed."""
        self._end.acquire()

    def result(self) -> Any:
        """Return what the task returned, or raise what it raised; then forget both."""
        result, error = self._result, self._error
        del self._task, self._result, self._error
        if error is not None:
            raise error
        return result

    def _work(self) -> None:
        while True:
            self._begin.acquire()
            self._result, self._error = None, None
            try:
                self._result = self._task(self._part)
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
                self._error = error
            self._end.release()


class _Alone:
    """Context in which BLAS has one thread; a context inside another, or in another thread, costs next to nothing."""

    def __init__(self) -> None:
        self.libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        self._lock = threading.Lock()
        self._depth = 0
        self._before: list[int] = []
        self._exceptions = 0

    def limit(self, count: int) -> None:
        """Have BLAS use no more than `count` threads anywhere in the process."""
        for library in self.libraries:
            library.set_num_threads(min(count, library.get_num_threads()))

    def __enter__(self) -> None:
        self.hold()

    def __exit__(self, *exception: object) -> None:
        self.release()

    def hold(self, but_for_products: bool = False) -> None:
        """Hold BLAS to one thread until `release` is called likewise."""
        with self._lock:
            if self._depth == 0:
                self._before = [library.get_num_threads() for library in self.libraries]
                for library in self.libraries:
                    library.set_num_threads(1)
            self._depth += 1
            self._exceptions += but_for_products

    def release(self, but_for_products: bool = False) -> None:
        """Undo `hold`."""
        with self._lock:
            self._depth -= 1
            self._exceptions -= but_for_products
            if self._depth == 0:
                for library, count in zip(self.libraries, self._before, strict=True):
                    library.set_num_threads(count)

    @property
    def allows_products(self) -> bool:
        """Whether BLAS is held to one thread nowhere, or but for products."""
        return self._depth == self._exceptions

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """Context in which BLAS has its threads; to be entered where `allows_products`."""
        if self._depth == 0:
            yield
            return
        for library, before in zip(self.libraries, self._before, strict=True):
            library.set_num_threads(before)
        try:
            yield
        finally:
            for library in self.libraries:
                library.set_num_threads(1)


class _AloneButForProducts:
    def __init__(self, alone: _Alone) -> None:
        self._alone = alone

    def __enter__(self) -> None:
        self._alone.hold(but_for_products=True)

    def __exit__(self, *exception: object) -> None:
        self._alone.release(but_for_products=True)


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
        array = arrays[name] = aligned(4 * (length + length // 4)).view(np.float32)
    return cast(Array, array)[:length]
