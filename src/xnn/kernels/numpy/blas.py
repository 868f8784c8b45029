"""How many threads NumPy's BLAS has, whoever asks.

OpenBLAS has one number for the whole process, and its products differ in their last digits with it. So that a model
computes the same beside another thread's as it does on its own, two kinds of work never overlap: work that needs BLAS
at one thread, and products that need all of its threads. What a thread may do follows from what it is in itself, not
from what others do.

Left out are products of programs that do not ask here, such as NumPy's in another thread: BLAS has one thread for them
too for as long as a model is trained.
"""

import ctypes
import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController


class Blas:
    """The libraries that compute products, and contexts that see to their number of threads.

    Attributes
    ----------
    libraries : list
        The controllers that threadpoolctl has for them.
    alone : context manager
        For a long time, such as training: holds BLAS to one thread, so that its own are not in the way of ours.
    alone_but_for_products : context manager
        The same, but large products may use `all_threads`. Inside one another, the inner of the two decides.
    one_thread : context manager
        For a kernel: BLAS has one thread, and no other thread has `all_threads`.
    all_threads : context manager
        For a product, where `allows_products`: BLAS has all its threads, and no other thread is in `one_thread`.
    """

    def __init__(self) -> None:
        self.libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        self._set = [_setter(library) for library in self.libraries]
        self._mine = _Mine()
        self._make_lock()
        # Which threads are in `one_thread` and `all_threads`: a thread that an interrupt tears out between two lines
        # leaves its name behind, but keeps only others waiting, until it comes again.
        self._sections: set[int] = set()
        self._products: set[int] = set()
        self._queue: deque[object] = deque()
        self._holds = 0
        self._is_at_one = False
        self._usual: list[int] = []
        self.alone = _Context(functools.partial(self._hold, False), self._let_go)
        self.alone_but_for_products = _Context(functools.partial(self._hold, True), self._let_go)
        self.one_thread = _Context(self._begin_section, self._end_section)
        self.all_threads = _Context(self._begin_product, self._end_product)

    @property
    def allows_products(self) -> bool:
        """Whether the calling thread may use `all_threads`."""
        return not self._mine.sections and (not self._mine.holds or self._mine.holds[-1])

    def counts(self) -> list[int]:
        """Return how many threads each library has outside `alone`."""
        with self._lock:
            return self._counts()

    def limit(self, count: int) -> None:
        """Have BLAS use no more than `count` threads anywhere in the process."""
        with self._lock:
            self._usual = [min(count, usual) for usual in self._counts()]
            if not self._is_at_one:
                self._apply(self._usual)

    def join(self) -> None:
        """Count the calling thread, which does parts of other threads' work, as always inside `one_thread`."""
        self._mine.sections = 1

    def facts(self) -> dict[str, str]:
        """Return which library multiplies NumPy's matrices, for which processor, and with how many threads."""
        # Other packages bring libraries of their own. Where none lies with NumPy, the first that was loaded is taken.
        theirs = list(zip(self.libraries, self.counts(), strict=True))
        theirs.sort(key=lambda pair: not _is_numpys(Path(pair[0].filepath)))
        if not theirs:
            return {}
        library, count = theirs[0]
        words = (library.internal_api, library.version, getattr(library, "architecture", None))
        return {"BLAS": " ".join(word for word in words if word), "BLAS threads": str(count)}

    def before_fork(self) -> None:
        """Wait until no other thread computes, and let none begin: its work and its locks would end half-way."""
        self._lock.acquire()
        self._take_turn(self._products, self._sections)

    def after_fork_in_parent(self) -> None:
        """Let the others go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the threads that the child is without, and what they held."""
        self._make_lock()
        self._sections &= {threading.get_ident()}
        self._products.clear()
        self._queue.clear()
        self._holds = len(self._mine.holds) + len(self._sections)
        self._settle()

    def _hold(self, products: bool) -> None:
        with self._lock:
            self._holds += 1
            self._settle()
        self._mine.holds.append(products)

    def _let_go(self) -> None:
        self._mine.holds.pop()
        with self._lock:
            self._holds -= 1
            self._settle()

    def _make_lock(self) -> None:
        # The lock is used as it is, which costs a kernel less than the condition's own methods.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def _begin_section(self) -> None:
        if not self._mine.sections:
            with self._lock:
                if self._queue or self._products:
                    self._take_turn(self._products)
                    self._products.clear()
                self._sections.add(threading.get_ident())
                self._holds += 1
                if not self._is_at_one:
                    self._settle()
        self._mine.sections += 1

    def _end_section(self) -> None:
        self._mine.sections -= 1
        if not self._mine.sections:
            with self._lock:
                self._sections.discard(threading.get_ident())
                self._holds -= 1
                if not self._holds:
                    self._settle()
                if self._queue:
                    self._changed.notify_all()

    def _begin_product(self) -> None:
        with self._lock:
            if self._queue or self._sections:
                self._take_turn(self._sections)
                self._sections.clear()
            self._products.add(threading.get_ident())
            self._settle()

    def _end_product(self) -> None:
        with self._lock:
            self._products.discard(threading.get_ident())
            self._settle()
            if self._queue:
                self._changed.notify_all()

    def _take_turn(self, *others: set[int]) -> None:
        """Wait until all that came before have begun, and none of `others` is left; to be called with the lock."""
        turn = object()
        self._queue.append(turn)
        try:
            while self._queue[0] is not turn or any(threads - {threading.get_ident()} for threads in others):
                self._changed.wait()
        finally:
            self._queue.remove(turn)
            self._changed.notify_all()

    def _settle(self) -> None:
        """Have BLAS use as many threads as the contexts say; to be called with the lock."""
        is_at_one = self._holds > 0 and not self._products
        if is_at_one and not self._is_at_one:
            # First what undoes it, for an interrupt may come in between.
            self._usual, self._is_at_one = self._counts(), True
            self._apply([1] * len(self._set))
        elif self._is_at_one and not is_at_one:
            self._apply(self._usual)
            self._is_at_one = False

    def _counts(self) -> list[int]:
        return self._usual if self._is_at_one else [library.get_num_threads() for library in self.libraries]

    def _apply(self, counts: list[int]) -> None:
        for set_count, count in zip(self._set, counts, strict=True):
            set_count(count)


class _Mine(threading.local):
    """What the calling thread is in: how many sections, and its holds, each with whether it allows products."""

    def __init__(self) -> None:
        self.sections = 0
        self.holds: list[bool] = []


class _Context:
    def __init__(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        self._enter, self._leave = enter, leave

    def __enter__(self) -> None:
        self._enter()

    def __exit__(self, *exception: object) -> None:
        self._leave()


def _is_numpys(path: Path) -> bool:
    """Whether a library came in NumPy's wheel."""
    return path.parent.name == "numpy.libs" or path.parent.parent.name == "numpy"


def _setter(library: Any) -> Callable[[int], object]:
    """Return what sets a library's number of threads in whichever thread it is called."""
    # From 3.8 on, threadpoolctl lets one thread alone set that of OpenBLAS, the first that tried, and ignores others.
    if library.internal_api == "openblas" and library.threading_layer != "openmp":
        for prefix, suffix in itertools.product(("", "scipy_"), ("", "64_", "_64")):
            name = f"{prefix}openblas_set_num_threads{suffix}"
            if hasattr(library.dynlib, name):
                function = library.dynlib[name]
                function.argtypes, function.restype = [ctypes.c_int], None
                return function  # type: ignore[no-any-return]  # ctypes' own
    return library.set_num_threads  # type: ignore[no-any-return]  # threadpoolctl has no types


# Made at import, which Python lets one thread do: a second one would take the first one's limit for the usual number.
_THE_ONE = Blas()


def blas() -> Blas:
    """Return the one `Blas` of the process."""
    return _THE_ONE
