"""How many threads NumPy's BLAS uses, at any moment and for any caller.

OpenBLAS has one number of threads for the whole process, and the last digits of its products depend on it. A model
should compute the same result whether or not other threads compute as well. So two kinds of work never overlap: work
that needs BLAS at one thread, and products that need all of its threads. What a thread may do depends only on the
contexts that it has entered itself.

This does not cover products that do not ask here: those of float64 models, of models with reference functions, and of
other code that uses NumPy. They get as many threads as BLAS has at the moment: one, while another thread trains or runs
a float32 model. Then their last digits may differ.

An interrupt (Ctrl-C) may come between any two calls. So a thread's own state is restored first, with no call in
between, and the next work of any thread makes up for whatever else an interrupt leaves undone.
"""

import ctypes
import itertools
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from typing import Any

from threadpoolctl import ThreadpoolController

_PATIENCE = 0.1
"""Seconds after which a thread checks whether it is its turn, since an interrupt may keep others from waking it."""


class Blas:
    """The libraries that compute products, and control over their numbers of threads.

    Attributes
    ----------
    libraries : list
        Their controllers from threadpoolctl.
    """

    def __init__(self) -> None:
        self.libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        self._set = [_setter(library) for library in self.libraries]
        self._mine = _Mine()
        # A lock that knows its owner, as forks require.
        self._lock = threading.RLock()
        # Which threads are in `one_thread` and `all_threads`, those that wait for others, and what is in `alone`.
        self._sections: set[int] = set()
        self._products: set[int] = set()
        self._queue: list[Any] = []
        self._holds: set[weakref.ref[_Hold]] = set()
        # BLAS's number of threads outside `alone`; None while it has that number.
        self._usual: list[int] | None = None
        self._is_at_one = False

    @property
    def alone(self) -> "_Hold":
        """A context for long work such as training: BLAS has one thread, so that its others do not slow down ours."""
        return _Hold(self, False)

    @property
    def alone_but_for_products(self) -> "_Hold":
        """The same, but large products may use `all_threads`. If the two are nested, the inner one decides."""
        return _Hold(self, True)

    def one_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a kernel: BLAS has one thread, and no other thread is in `all_threads`."""
        mine, me = self._mine, get_ident()
        before = mine.sections
        try:
            if not before:
                self._begin(me, self._sections, self._products)
            mine.sections = before + 1
            return function(*arguments)
        finally:
            mine.sections = before
            if not before:
                self._sections.discard(me)
                self._end()

    def all_threads(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a product, where `allows_products`: BLAS has all its threads, and no other thread is in `one_thread`."""
        me = get_ident()
        try:
            self._begin(me, self._products, self._sections)
            return function(*arguments)
        finally:
            self._products.discard(me)
            self._end()

    @property
    def allows_products(self) -> bool:
        """Whether the calling thread may use `all_threads`."""
        if self._mine.sections:
            return False
        holds = [hold for reference in self._mine.holds if (hold := reference()) is not None]
        return not holds or holds[-1].products

    def counts(self) -> list[int]:
        """Return how many threads each library has outside `alone`."""
        with self._lock:
            return self._counts()

    def limit(self, count: int) -> None:
        """Limit BLAS to `count` threads anywhere in the process."""
        with self._lock:
            counts = [min(count, usual) for usual in self._counts()]
            if self._usual is None:
                self._apply(counts)
            else:
                self._usual = counts

    def join(self) -> None:
        """Treat the calling thread, which does parts of other threads' work, as always inside `one_thread`."""
        self._mine.sections = 1

    def facts(self) -> dict[str, str]:
        """Return which library multiplies NumPy's matrices, for which processor, and with how many threads."""
        # Other packages bring their own libraries. If none of them belongs to NumPy, take the first that was loaded.
        theirs = list(zip(self.libraries, self.counts(), strict=True))
        theirs.sort(key=lambda pair: not _is_numpys(Path(pair[0].filepath)))
        if not theirs:
            return {}
        library, count = theirs[0]
        words = (library.internal_api, library.version, getattr(library, "architecture", None))
        return {"BLAS": " ".join(word for word in words if word), "BLAS threads": str(count)}

    def before_fork(self) -> None:
        """Wait until no other thread computes, and let none begin: in the child its work would stop half-way."""
        self._take_turn(get_ident(), self._lock.acquire, self._products, self._sections)

    def after_fork_in_parent(self) -> None:
        """Let the others go on; calling this twice, or after an interrupted `before_fork`, does no harm."""
        if self._lock._is_owned():  # type: ignore[attr-defined]  # it is there for `threading.Condition`
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the threads that the child does not have, and what they held."""
        self._lock = threading.RLock()
        self._sections &= {get_ident()}
        self._products.clear()
        self._queue.clear()
        self._holds.intersection_update(self._mine.holds)
        self._settle()

    def _hold(self, hold: "_Hold") -> None:
        # A hold that no longer exists is removed, however its block ended.
        reference = weakref.ref(hold, self._holds.discard)
        with self._lock:
            self._holds.add(reference)
            self._mine.holds = [other for other in self._mine.holds if other() is not None] + [reference]
            self._settle()

    def _let_go(self, hold: "_Hold") -> None:
        # Also drop holds inside it that an interrupt has left behind.
        holds = self._mine.holds
        place = next((place for place, reference in enumerate(holds) if reference() is hold), len(holds))
        inside, self._mine.holds = holds[place:], holds[:place]
        with self._lock:
            self._holds.difference_update(inside)
            self._settle()

    def _begin(self, me: int, own: set[int], others: set[int]) -> None:
        with self._lock:
            if not (self._queue or others):
                own.add(me)
                if own is self._products or not self._is_at_one:
                    self._settle()
                return

        def begin() -> None:
            others.discard(me)
            own.add(me)
            self._settle()

        self._take_turn(me, begin, others)

    def _end(self) -> None:
        with self._lock:
            if not (self._is_at_one and (self._sections or self._holds)):
                self._settle()
            if self._queue:
                self._wake()

    def _take_turn(self, me: int, begin: Callable[[], object], *others: set[int]) -> None:
        """Call `begin`, with the lock, once all earlier callers have begun and no other thread is in `others`."""
        turn = threading.Lock()
        turn.acquire()
        try:
            self._queue.append(turn)
            while True:
                with self._lock:
                    if self._queue[0] is turn and not any(threads - {me} for threads in others):
                        begin()
                        return
                turn.acquire(timeout=_PATIENCE)
        finally:
            if turn in self._queue:
                self._queue.remove(turn)
            with self._lock:
                self._wake()

    def _wake(self) -> None:
        """Let the waiting threads check whether it is their turn; call this with the lock."""
        for turn in tuple(self._queue):
            if turn.locked():
                turn.release()

    def _settle(self) -> None:
        """Make BLAS use as many threads as it should; call this with the lock."""
        # In an order in which the next call can finish what an interrupt cut off.
        if (self._holds or self._sections) and not self._products:
            if self._usual is None:
                self._usual = self._counts()
            if not self._is_at_one:
                self._apply([1] * len(self._set))
                self._is_at_one = True
        elif self._usual is not None:
            self._is_at_one = False
            self._apply(self._usual)
            self._usual = None

    def _counts(self) -> list[int]:
        return self._usual if self._usual is not None else [library.get_num_threads() for library in self.libraries]

    def _apply(self, counts: list[int]) -> None:
        for set_count, count in zip(self._set, counts, strict=True):
            set_count(count)


class _Hold:
    """A context that holds BLAS for as long as its block runs."""

    def __init__(self, blas: Blas, products: bool) -> None:
        self._blas, self.products = blas, products

    def __enter__(self) -> None:
        try:
            self._blas._hold(self)
        except BaseException:
            self._blas._let_go(self)
            raise

    def __exit__(self, *exception: object) -> None:
        self._blas._let_go(self)


class _Mine(threading.local):
    """What the calling thread is in: how many calls of `one_thread`, and which holds."""

    def __init__(self) -> None:
        self.sections = 0
        self.holds: list[weakref.ref[_Hold]] = []


def _is_numpys(path: Path) -> bool:
    """Whether a library came in NumPy's wheel."""
    return path.parent.name == "numpy.libs" or path.parent.parent.name == "numpy"


def _setter(library: Any) -> Callable[[int], object]:
    """Return a function that sets a library's number of threads, from any thread."""
    # From 3.8 on, threadpoolctl lets only the first thread that tries set OpenBLAS's number, and ignores the others.
    if library.internal_api == "openblas" and library.threading_layer != "openmp":
        for prefix, suffix in itertools.product(("", "scipy_"), ("", "64_", "_64")):
            name = f"{prefix}openblas_set_num_threads{suffix}"
            if hasattr(library.dynlib, name):
                function = library.dynlib[name]
                function.argtypes, function.restype = [ctypes.c_int], None
                return function  # type: ignore[no-any-return]  # ctypes' own
    return library.set_num_threads  # type: ignore[no-any-return]  # threadpoolctl has no types


# Made at import, which Python lets only one thread do: a second object would take the limit set by the first for the
# usual number.
_THE_ONE = Blas()


def blas() -> Blas:
    """Return the one `Blas` of the process."""
    return _THE_ONE
