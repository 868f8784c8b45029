"""The threads that kernels compute with.

A kernel cuts its batch into as many contiguous parts as there are threads, and each thread works on its own part with
BLAS held to one thread. Otherwise OpenBLAS's own threads would spin, waiting for the next product, while ours compute.
The parts depend only on the number of threads, so sums over the batch are the same each time, bit for bit, even if the
system starts fewer threads than requested: then some threads do several parts.
"""

import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numba.core.compiler_lock import global_compiler_lock

from xnn._typing import Array
from xnn.kernels.numpy.awake import Awake, start
from xnn.kernels.numpy.blas import blas
from xnn.kernels.threads import count, is_set
from xnn.memory import aligned

_local = threading.local()

_PIECES = 8
"""Pieces per thread, at most."""

_LEAST_WORK = 2**20
"""Fewest multiplications (some tens of microseconds) for which distributing several calls pays."""


class Threads:
    """A number of threads, and methods that spread work over them.

    Parameters
    ----------
    count : int
        The calling thread included.

    Attributes
    ----------
    blas : Blas
        The process's, with the contexts that hold it to one thread.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.blas = blas()
        self.forget_threads()
        _all.add(self)

    def forget_threads(self) -> None:
        """Start new threads for the next work; a forked child needs this, since it has none of its parent's."""
        self._team: _Team | None = None
        # Held by the thread whose work is spread; any other thread computes on its own meanwhile.
        self._busy = threading.Lock()

    def parts(self, length: int, least: int = 1) -> list[range]:
        """Cut ``range(length)`` into one contiguous range per thread; if several, none is shorter than `least`."""
        return _cut(length, max(min(self.count, length // max(least, 1)), 1))

    def pieces(self, length: int, least: int) -> list[range]:
        """Cut ``range(length)`` into several ranges per thread, none below `least`, or into one each if it is short.

        They are for work without sums over the batch: if the system delays a thread, the others do more pieces.
        """
        count = min(_PIECES * self.count, length // max(least, 1))
        return self.parts(length) if count <= self.count or self.count == 1 else _cut(length, count)

    def run(self, task: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
        """Return ``task(part)`` for each part, computed in parallel, with BLAS at one thread.

        If there are more parts than threads, each thread takes the next part when it is free. A single part leaves BLAS
        as it is, since no other thread is at work.
        """
        if len(parts) == 1:
            return [task(parts[0])]
        return cast(list[Any], self.blas.one_thread(self._run, task, parts))

    def spread(self, kernel: Callable[..., None], arrays: Sequence[Array], least: int) -> None:
        """Run an elementwise kernel over contiguous arrays of one shape, with at least `least` numbers per thread."""
        flat = [array.reshape(-1) for array in arrays]
        size = flat[0].size
        if size < 2 * least:
            kernel(*flat)
        else:
            self.run(lambda part: kernel(*(a[part.start : part.stop] for a in flat)), self.parts(size, least))

    def side_by_side(self, calls: Sequence[Callable[[], object]], work: Sequence[int]) -> None:
        """Make independent calls, the longest first; `work` says roughly how many multiplications each does.

        NumPy handles floating-point errors in all of them as in the calling thread.
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

    def _run(self, task: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
        if not self._busy.acquire(blocking=False):
            return [task(part) for part in parts]
        try:
            if self._team is None or not self._team.is_free:
                self._team = _Team(self.count)
            if len(parts) > 1 + len(self._team.workers):
                return self._take_turns(self._team, task, parts)
            return self._team.share(task, parts)
        finally:
            self._busy.release()

    def _take_turns(self, team: "_Team", task: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
        left, results = deque(enumerate(parts)), [None] * len(parts)

        def work(_: int) -> None:
            # Several threads may safely take from a deque.
            while True:
                try:
                    number, part = left.popleft()
                except IndexError:
                    return
                results[number] = task(part)

        team.share(work, range(1 + len(team.workers)))
        return results


def as_slice(part: range) -> slice:
    """Return the slice that cuts a part out of an array."""
    return slice(part.start, part.stop)


def _cut(length: int, count: int) -> list[range]:
    """Return `count` contiguous ranges."""
    bounds = [length * part // count for part in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]


class _Team:
    """The threads besides the calling one, as many as the system starts."""

    def __init__(self, count: int) -> None:
        made = (_Worker() for _ in range(count - 1))
        self.workers = list(itertools.takewhile(lambda worker: worker.is_there, made))
        self._awake = Awake(1 + len(self.workers))
        # Stays false if an interrupt comes while we wait for the workers; then they can no longer be used.
        self.is_free = True

    def share(self, task: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
        """Return ``task(part)`` for each part: the calling thread does one, and each worker one at most."""
        self.is_free = False
        self._awake.beat()
        workers = self.workers[: len(parts) - 1]
        for worker, part in zip(workers, parts[1:], strict=True):
            worker.start(task, part)
        try:
            results = [task(parts[0])]
        finally:
            # No thread may still be writing when an error is on its way.
            for worker in workers:
                worker.wait()
            self.is_free = True
        return results + [worker.result() for worker in workers]


class _Worker:
    """A thread that waits for a task; two locks control the hand-over."""

    def __init__(self) -> None:
        self._begin, self._end = threading.Lock(), threading.Lock()
        self._begin.acquire()
        self._end.acquire()
        self.is_there = start(self._work, "xnn")

    def start(self, task: Callable[[Any], Any], part: Any) -> None:
        """Start computing ``task(part)``."""
        self._task, self._part = task, part
        self._begin.release()

    def wait(self) -> None:
        """Return when the task is done."""
        self._end.acquire()

    def result(self) -> Any:
        """Return what the task returned, or raise what it raised; then forget both."""
        result, error = self._result, self._error
        del self._task, self._result, self._error
        if error is not None:
            raise error
        return result

    def _work(self) -> None:
        blas().join()
        while True:
            self._begin.acquire()
            self._result, self._error = None, None
            try:
                self._result = self._task(self._part)
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
                self._error = error
            self._end.release()


_chosen: Threads | None = None
_choosing = threading.Lock()


def threads() -> Threads:
    """Return the process's threads: as many as `xnn.kernels.threads.count` says."""
    # Avoid the lock if possible, since every kernel calls this.
    return _chosen or _choose()


def choose_again() -> None:
    """Use as many threads as `xnn.kernels.threads.count` says now."""
    global _chosen
    _chosen = None
    threads()


def _choose() -> Threads:
    global _chosen
    with _choosing:
        chosen = _chosen
        if chosen is None:
            chosen = Threads(count())
            if is_set():
                chosen.blas.limit(chosen.count)
            _chosen = chosen
    return chosen


_all: "weakref.WeakSet[Threads]" = weakref.WeakSet()


_takes_lock = False
"""Whether the forking thread takes the compiler's lock for the fork because it does not hold it already."""


def _before_fork() -> None:
    global _takes_lock
    # In this order: a kernel may be compiled while BLAS is held to one thread, but not the other way round.
    blas().before_fork()
    _takes_lock = not _has_compiler()
    if _takes_lock:
        global_compiler_lock.acquire()  # type: ignore[no-untyped-call]  # Numba's own


def _after_fork_in_parent() -> None:
    try:
        _release_compiler()
    finally:
        blas().after_fork_in_parent()


def _after_fork_in_child() -> None:
    global _choosing
    _choosing = threading.Lock()
    try:
        _release_compiler()
    finally:
        blas().after_fork_in_child()
        for pool in _all:
            pool.forget_threads()


def _release_compiler() -> None:
    global _takes_lock
    # An interrupt may have come before the lock was taken.
    if _takes_lock and _has_compiler():
        global_compiler_lock.release()  # type: ignore[no-untyped-call]  # Numba's own
    _takes_lock = False


def _has_compiler() -> bool:
    return bool(global_compiler_lock.is_locked())  # type: ignore[no-untyped-call]  # Numba's own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
    # Twice: an interrupt during the fork surfaces when the first call begins, and Python drops both it and that call.
    for _ in range(2):
        os.register_at_fork(after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def scratch(name: str, length: int) -> Array:
    """Return this thread's float32 working memory: the same each time, with whatever the last use left in it."""
    arrays = _local.__dict__
    array = arrays.get(name)
    if array is None or array.size < length:
        # Growing by a quarter, so that a slightly longer last batch does not make it grow again.
        array = arrays[name] = aligned(4 * (length + length // 4)).view(np.float32)
    return cast(Array, array)[:length]
