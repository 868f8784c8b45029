"""Compiling the CUDA C++ in the files beside this one, and launching its kernels."""

import functools
import hashlib
import itertools
import math
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
    *choices : sequence of str
        What each parameter of the template may be: a letter of NumPy's for a type, or what stands in the source.
    """

    every: ClassVar[list["Kernel"]] = []
    """All kernels of the modules imported so far."""

    def __init__(self, file: str, name: str, *choices: Sequence[str]) -> None:
        self.file, self.name, self.choices = file, name, choices
        self._instances: dict[tuple[str, ...], Any] = {}
        Kernel.every.append(self)

    def expressions(self) -> Iterator[str]:
        """Return the names of all instances, as the source would call them."""
        return map(self._expression, itertools.product(*self.choices))

    def _expression(self, parameters: tuple[str, ...]) -> str:
        if not parameters:
            return self.name
        return f"{self.name}<{', '.join(_C_NAMES.get(each, each) for each in parameters)}>"

    def __getitem__(self, parameters: tuple[str, ...]) -> Any:
        """Return the compiled instance."""
        if parameters not in self._instances:
            if parameters not in set(itertools.product(*self.choices)):
                raise KeyError(f"{self.name} is not made for {parameters}, but for each of {self.choices}")
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
    place = cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr
    if place not in _counters:
        _counters[place] = cupy.zeros(_COUNTERS, np.uint32)
    return _counters[place]


_counters: dict[tuple[int, int], Array] = {}


def ready(x: Array) -> Array | None:
    """Return x, or a contiguous copy of it, if it is not empty and of a type of `FLOATS`; else None."""
    if not isinstance(x, cupy.ndarray) or x.dtype.char not in FLOATS or not x.size:
        return None
    return x if x.flags.c_contiguous else cupy.ascontiguousarray(x)


def is_plain(*arrays: Array | None) -> bool:
    """Whether the arrays given are contiguous, not empty, and of one type of `FLOATS`."""
    given = [a for a in arrays if a is not None]
    kinds = {a.dtype.char for a in given}
    return len(kinds) == 1 and kinds <= {*FLOATS} and all(a.flags.c_contiguous and a.size for a in given)


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
