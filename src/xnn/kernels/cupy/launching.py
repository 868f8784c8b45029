"""Compiling the CUDA C++ in the files beside this one, and launching its kernels."""

import functools
import hashlib
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import cupy
import numpy as np

from xnn._typing import Array

FOLDER = Path(__file__).parent
OPTIONS = ("--std=c++17", f"-I{FOLDER}")
FLOATS = ("e", "f")
"""NumPy's letters for the types that the twins compute with; they leave others to the references."""

INT_MAX = 2**31 - 1
"""The largest number of 32 bits, in which kernels count within an image, and cuBLAS counts rows and columns."""

_C_NAMES = {"e": "__half", "f": "float", "B": "unsigned char", "i": "int", "q": "long long", "?": "bool"}
_COUNTERS = 4096


class Kernel:
    """A kernel of a `.cu` file. It may be a template; each instance is compiled when it is first launched.

    A kernel's parameters are pointers to what it reads, pointers to what it writes, and numbers: ``long long`` for
    whole numbers, ``float`` for others.

    Parameters
    ----------
    file : str
        Without ``.cu``.
    name : str
    *choices : sequence of str or of tuples of str
        What each parameter of the template may be: a letter of NumPy's for a type, or what stands in the source.
        Tuples are of several parameters, one after another, of which not all combinations are needed.
    """

    every: ClassVar[list["Kernel"]] = []
    """All kernels of the modules imported so far."""

    def __init__(self, file: str, name: str, *choices: Sequence[str | tuple[str, ...]]) -> None:
        self.file, self.name = file, name
        self._combinations = [_flat(chosen) for chosen in itertools.product(*choices)]
        self._instances: dict[tuple[str, ...], Any] = {}
        Kernel.every.append(self)

    def expressions(self) -> Iterator[str]:
        """Return the names of all instances, as the source would call them."""
        return map(self._expression, self._combinations)

    def _expression(self, parameters: tuple[str, ...]) -> str:
        if not parameters:
            return self.name
        return f"{self.name}<{', '.join(_C_NAMES.get(each, each) for each in parameters)}>"

    def __getitem__(self, parameters: tuple[str, ...]) -> Any:
        """Return the compiled instance."""
        if parameters not in self._instances:
            if parameters not in self._combinations:
                raise KeyError(f"{self.name} is not made for {parameters}, but for {self._combinations}")
            expression, source = self._expression(parameters), (FOLDER / f"{self.file}.cu").read_text(encoding="utf-8")
            # CuPy keeps compiled kernels on disk by their source, and does not look at what it includes.
            source += f"// with headers {_headers()}\n"
            module = cupy.RawModule(code=source, options=OPTIONS, name_expressions=[expression])
            self._instances[parameters] = module.get_function(expression)
        return self._instances[parameters]

    def launch(
        self,
        parameters: tuple[str, ...],
        grid: tuple[int, ...],
        block: tuple[int, ...],
        reads: Sequence[Array | None],
        writes: Sequence[Array | None],
        numbers: Sequence[int | float] = (),
        *,
        shared: int = 0,
        moved: int | None = None,
    ) -> None:
        """Launch an instance on the current device and stream.

        Parameters
        ----------
        parameters : tuple of str
            Of the template.
        grid, block : tuple of int
            Blocks, and threads in each.
        reads, writes : sequence of arrays, contiguous
            None is a null pointer. An array that is changed is in both.
        numbers : sequence of int or float
        shared : int
            Bytes of dynamic shared memory.
        moved : int, optional
            How many bytes it reads and writes, for a kernel that does not go over its arrays exactly once each. Where
            that depends on the numbers, it is what a usual step moves: one whose gradients are finite and not clipped.
        """
        function = self[parameters]
        # An array in both is one parameter.
        arrays = [*[a for a in reads if a is None or not any(a is w for w in writes)], *writes]
        values = [np.float32(n) if isinstance(n, float) else n for n in numbers]
        function(grid, block, (*arrays, *values), shared_mem=shared)
        if _watchers:
            _report(self._expression(parameters), reads, writes, moved)


def _flat(chosen: tuple[str | tuple[str, ...], ...]) -> tuple[str, ...]:
    return tuple(each for part in chosen for each in ((part,) if isinstance(part, str) else part))


@functools.cache
def _headers() -> str:
    """Return a digest of the headers, which changes when one of them does."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(FOLDER.glob("*.cuh")))).hexdigest()


def spread(size: int, each: int = 256) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return grid and block for a kernel whose threads stride over `size` numbers."""
    return (max(min(-(-size // each), _MOST_BLOCKS), 1),), (each,)


_MOST_BLOCKS = 4096
"""Enough for every multiprocessor to have its fill of threads."""


def counters() -> Array:
    """Return 4096 counters at 0 for kernels that find out which of their blocks is the last; they leave them at 0.

    Kernels of one stream run one after another, so they share them.
    """
    stream = cupy.cuda.get_current_stream().ptr
    # Each thread has a default stream of its own, under a handle that is the same for all.
    thread = threading.get_ident() if stream == cupy.cuda.runtime.streamPerThread else 0
    place = cupy.cuda.runtime.getDevice(), stream, thread
    if place not in _counters:
        _counters[place] = cupy.zeros(_COUNTERS, np.uint32)
    return _counters[place]


_counters: dict[tuple[int, int, int], Array] = {}


def ready(x: Array) -> Array | None:
    """Return x, or a contiguous copy of it, if it is not empty and of a type of `FLOATS`; else None."""
    if not isinstance(x, cupy.ndarray) or x.dtype.char not in FLOATS or not x.size:
        return None
    return x if x.flags.c_contiguous else cupy.ascontiguousarray(x)


def is_plain(*arrays: Any) -> bool:
    """Whether those that are not None are arrays of CuPy, contiguous, not empty, and of one type of `FLOATS`."""
    given = [a for a in arrays if a is not None]
    if not all(isinstance(a, cupy.ndarray) and a.flags.c_contiguous and a.size for a in given):
        return False
    kinds = {a.dtype.char for a in given}
    return len(kinds) == 1 and kinds <= {*FLOATS}


def is_number(value: Any) -> bool:
    """Whether a value is a number of Python's, which can be compared without reading from the device."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _report(name: str, reads: Sequence[Array | None], writes: Sequence[Array | None], moved: int | None) -> None:
    if moved is None:
        moved = sum(math.prod(a.shape) * a.itemsize for a in (*reads, *writes) if a is not None)
    for watcher in _watchers:
        watcher(name, moved)


_watchers: list[Callable[[str, int], None]] = []


@contextmanager
def watched(watcher: Callable[[str, int], None]) -> Iterator[None]:
    """Call ``watcher(name, bytes)`` after each launch within the block."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)
