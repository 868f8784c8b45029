"""Faster twins of the functions in `xnn.functional`, for one array library each, and the registry that picks them.

A twin replaces one function or a chain (several functions in a row) and gives the same results within rounding, as a
property test checks. The twin of one function takes that function's arguments, computes the cases that it is fast at,
and passes everything else on to the reference. The twin of a chain takes x and each function's other arguments as a
tuple, and returns None for cases that it does not cover; then the parts compute one by one. An optimizer's update and
other single passes over memory have twins too.

Only `xnn.kernels.table` knows the twins: a model asks for its backend's functions when it is built, and a twin is
imported when a model that calls it is built. The references serve if twins are turned off or lack a package.
"""

import functools
import importlib
import importlib.util
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from xnn import functional, random
from xnn._notes import note
from xnn._typing import Array
from xnn.backends import PRECISIONS, Backend, twins_by_default
from xnn.kernels import threads
from xnn.kernels.table import LONGEST, NEEDS, TABLE, Twin


class Functions:
    """The functions of `xnn.functional` by name, replaced by their twins where there are any, and the twins of chains.

    Attributes
    ----------
    twins : dict
        The rows of the table that apply here, by their names.

    Examples
    --------
    >>> import xnn
    >>> from xnn import functional, kernels
    >>> references = kernels.functions(xnn.backend("numpy", twins=False))
    >>> references.relu is functional.relu, references.twins
    (True, {})
    """

    def __init__(self, library: str, with_twins: bool, precision: str) -> None:
        self._arguments = library, with_twins, precision
        rows = _rows(library, with_twins)
        self.twins = {row.names: row for wanted in ("", precision) for row in rows if row.precision == wanted}

    def __reduce__(self) -> tuple[Any, ...]:
        return _functions, self._arguments

    def __getattr__(self, name: str) -> Any:
        # Called once for each name: the function found is kept as an attribute.
        function = self.linked(name)
        row = self.twins.get((name,))
        if row is not None and row.pending:
            function = _written(function)
        setattr(self, name, function)
        return function

    def linked(self, name: str) -> Any:
        """Return a function whose gradients may be pending, for callers that pass them on to parameters."""
        return getattr(functional, name) if (name,) not in self.twins else self.twin(name)

    def twin(self, *names: str) -> Any:
        """Return the twin of a function, of a chain of several, or of other work; None if there is none."""
        row = self.twins.get(names)
        if row is None:
            return None
        module = importlib.import_module(f"{__name__}.{self._arguments[0]}.{row.module}")
        return getattr(module, row.name or "_".join(row.names))

    def casts(self, function: str, inference_function: str = "") -> bool:
        """Whether twins take x of a lower type for these functions beside parameters in float32."""
        rows = [self.twins.get((name,)) for name in (function, inference_function or function)]
        return all(row is not None and row.casts for row in rows)

    def longest(self, names: Sequence[str]) -> tuple[int, Any]:
        """Return the length of the longest chain at the front that has a twin, and the twin; else ``(1, None)``."""
        for length in range(min(len(names), LONGEST), 1, -1):
            twin = self.twin(*names[:length])
            if twin is not None:
                return length, twin
        return 1, None


def _written(twin: Callable[..., Any]) -> Callable[..., Any]:
    """Return a twin whose pullback returns all gradients as arrays."""

    @functools.wraps(twin)
    def function(*arguments: Any, **options: Any) -> Any:
        y, pullback = twin(*arguments, **options)

        def written(dy: Array, needs: tuple[bool, ...] = (True, True, True)) -> tuple[Array | None, ...]:
            return tuple(g.write() if hasattr(g, "write") else g for g in pullback(dy, needs))

        return y, written

    return function


def functions(backend: Backend, precision: str = "float32") -> Functions:
    """Return the functions for arrays of a backend and models of a precision."""
    return _functions(backend.library, backend.twins, precision)


def functions_of(array: Array) -> Functions:
    """Return the functions for an array of an unknown backend: those of the model that is computing, if there is one.

    See `Computing`.
    """
    kind = type(array)
    if kind not in _libraries:
        _libraries[kind] = kind.__module__.partition(".")[0]
    library, current = _libraries[kind], _current.computing
    if current is not None and current.backend.library == library:
        return current.functions
    return _functions(library, twins_by_default(), "float32")


_libraries: dict[type, str] = {}


def precisions(backend: Backend) -> tuple[str, ...]:
    """Return the precisions that models can compute in on a backend: the library's own, and those that twins add."""
    served = {row.precision for row in _rows(backend.library, backend.twins)}
    return tuple(name for name in PRECISIONS if name in backend.precisions or name in served)


def twins(backend: Backend) -> dict[str, str]:
    """Return the twins that a backend uses: what each one replaces, and the module that it is in."""
    rows = _rows(backend.library, backend.twins)
    return {", ".join(row.names): f"{__name__}.{backend.library}.{row.module}" for row in rows}


def single_pass(backend: Backend, dtype: str, name: str) -> Any:
    """Return the twin of a single pass over the memory of a model of that dtype, or None if there is none.

    Parameters
    ----------
    backend : Backend
    dtype : str
    name : str
        ``"clip_norm"`` for `xnn.optim.clip_gradient_norm`, ``"move_average"`` for
        `xnn.optim.ExponentialMovingAverage`, ``"move_statistics"`` for `xnn.nn.BatchNorm`, ``"prepare_images"`` for
        `xnn.data.Batches`, ``"cast_vector"`` for models in a lower precision, ``"keep_vectors"``,
        ``"unscale_gradients"`` and ``"settle_step"`` for `xnn.training.LossScaler`; for optimizers see `rule`.
    """
    return functions(backend).twin(name) if dtype == "float32" else None


def rule(optimizer: Any) -> Callable[[Sequence[Any]], None] | None:
    """Return a function that updates runs of a model's parameters as an optimizer does, or None without a twin."""
    kind, model = type(optimizer), optimizer.model
    twin = single_pass(model.backend, model.dtype, f"{kind.__module__}.{kind.__qualname__}")
    return None if twin is None else functools.partial(twin, optimizer)


def side_by_side(backend: Backend, calls: Sequence[Callable[[], object]], work: Sequence[int]) -> None:
    """Make independent calls, on the twins' threads if there are twins.

    Parameters
    ----------
    backend : Backend
    calls : sequence of callables
    work : sequence of int
        Roughly how many multiplications each does.
    """
    if backend.library == "numpy" and _rows("numpy", backend.twins):
        _threads().side_by_side(calls, work)
        return
    for call in calls:
        call()


def set_threads(count: int) -> None:
    """Use `count` threads on the CPU from now on, in the whole process, as ``$XNN_NUM_THREADS`` would."""
    threads.set_count(count)
    if _is_served("numpy"):
        importlib.import_module("xnn.kernels.numpy.threads").choose_again()


class Computing:
    """The context in which a model's functions are called, entered once for many calls, such as training.

    Parameters
    ----------
    backend : Backend
    dtype, precision : str
        Of the model.
    names : collection of str
        The functions that it calls. If none of their twins spreads products over xnn's own threads, BLAS's threads
        compute large products, which is faster.

    Examples
    --------
    >>> from xnn import nn
    >>> model = nn.Linear(2).build((3,), backend="numpy")
    >>> with model.computing():  # once for many calls, as the trainer does
    ...     y, pullback = model.forward(model.backend.asarray([[1.0, 2.0, 3.0]], "float32"), train=True)
    """

    def __init__(self, backend: Backend, dtype: str, precision: str, names: Collection[str]) -> None:
        self.backend, self.functions = backend, functions(backend, precision)
        self._tf32 = precision == "tf32"
        # Without twins, as for float64, BLAS keeps its threads.
        self._holds = dtype == "float32" and backend.library == "numpy" and bool(self.functions.twins)
        # Only CuPy has a current device, which may be another one than the model's.
        self._moves = backend.library == "cupy"
        self._spreads = any(row.spreads for row in self.functions.twins.values() if row.names[0] in names)

    @property
    def matters(self) -> bool:
        """Whether entering the context ever changes where calls compute, how they are rounded, or how long it takes."""
        return self._holds or self._moves or self.backend.has_tf32

    @property
    def is_needed(self) -> bool:
        """Whether a single call has to enter it; without convolutions, only inside another model's context."""
        entered = _current.entered
        current = entered[-1] if entered else None
        if self._moves:
            return current is not self or not self.backend.is_current
        return current is not self and (current is not None or self._spreads or self.backend.has_tf32)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Return the context.

        It keeps BLAS's threads from slowing down those of the twins, so that no twin has to; it computes float32
        products in TF32 or in full, as the precision says; the model's device is the current one; and inside it
        `functions_of` returns the model's functions.
        """
        hold: AbstractContextManager[None] = nullcontext()
        if self._holds:
            blas = _threads().blas
            hold = blas.alone if self._spreads else blas.alone_but_for_products
        with hold, self.backend.current(), self.backend.products(self._tf32):
            _current.entered.append(self)
            try:
                yield
            finally:
                # Not simply the last one: generators may leave their contexts in another order.
                _current.entered.remove(self)


class _Current(threading.local):
    """The contexts that a thread is in."""

    def __init__(self) -> None:
        self.entered: list[Computing] = []

    @property
    def computing(self) -> Computing | None:
        """The innermost one."""
        return self.entered[-1] if self.entered else None


_current = _Current()


def products(backend: Backend) -> dict[str, str]:
    """Return facts, if known, about the library that multiplies a backend's matrices, since the digits depend on it."""
    if backend.library != "numpy" or importlib.util.find_spec("threadpoolctl") is None:
        return {}
    if _rows("numpy", backend.twins):
        # This limits BLAS to the threads of the setting.
        _threads()
    facts: dict[str, str] = importlib.import_module("xnn.kernels.numpy.blas").blas().facts()
    return facts


def held_back(backend: Backend) -> str | None:
    """Return a line for the user if the environment slows down a backend's products, else None."""
    if backend.library != "numpy" or "OPENBLAS_CORETYPE" not in os.environ or not _is_served("numpy"):
        return None
    line: str | None = importlib.import_module("xnn.kernels.numpy.coretype").held_back()
    return line


def _twin_of_draw(backend: Backend, name: str) -> Any:
    """Return the twin of a method of `xnn.random.Random`, or None."""
    return functions(backend).twin(name)


random.find_twins_with(_twin_of_draw)


@functools.cache
def _functions(library: str, with_twins: bool, precision: str) -> Functions:
    return Functions(library, with_twins, precision)


def _rows(library: str, with_twins: bool) -> Sequence[Twin]:
    """Return the rows of the table that can be used."""
    return TABLE[library] if with_twins and _is_served(library) else ()


@functools.cache
def _is_served(library: str) -> bool:
    needed = NEEDS.get(library, ())
    if library not in TABLE or any(importlib.util.find_spec(name) is None for name in needed):
        return False
    # The kernels are LLVM intrinsics, which cannot run without Numba's compiler.
    if "numba" in needed and os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0"):
        note("NUMBA_DISABLE_JIT is set: the reference functions compute, several times slower than compiled kernels")
        return False
    return True


def _threads() -> Any:
    return importlib.import_module("xnn.kernels.numpy.threads").threads()
