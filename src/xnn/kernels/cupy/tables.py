"""Tables on the device that tell a kernel where its pieces of memory lie; `tables.cuh` reads them.

A table is copied to the device once and kept, as a step asks for the same ones as the step before.
"""

import functools
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import cupy
import numpy as np

from xnn._typing import Array

_KEPT = 256
"""Tables kept at most; each is a few lines long."""


class Table(NamedTuple):
    """A table, its number of rows, and how many numbers they speak of together."""

    array: Array
    rows: int
    total: int


def of_runs(runs: Iterable[Any]) -> Table:
    """Return the table of the runs of a flat vector: each has a ``start``, a ``stop`` and a ``weight_decay``."""
    return _lengths(tuple((run.stop - run.start, run.start, run.weight_decay != 0.0) for run in runs))


def of_slices(slices: Sequence[Array]) -> Table:
    """Return the table of slices of one float32 vector, with the places they start at, counted from the first one."""
    begin = slices[0].data.ptr if slices else 0
    return _lengths(tuple((each.size, (each.data.ptr - begin) // each.itemsize, False) for each in slices))


def of_pairs(vectors: Sequence[Array], copies: Sequence[Array]) -> Table:
    """Return the table of vectors and the vectors, of the same lengths, that they are copied to."""
    return _lengths(tuple((v.size, v.data.ptr, c.data.ptr) for v, c in zip(vectors, copies, strict=True)))


def _lengths(rows: tuple[tuple[int, ...], ...]) -> Table:
    return _with_firsts(rows, cupy.cuda.runtime.getDevice())


@functools.lru_cache(_KEPT)
def _with_firsts(rows: tuple[tuple[int, ...], ...], device: int) -> Table:
    """Return the table on the current device, `device`: instead of each row's length, the sum of those before it."""
    rows = tuple(row for row in rows if row[0])
    firsts = list(accumulate((row[0] for row in rows), initial=0))
    table = [(first, *row[1:]) for first, row in zip(firsts, rows, strict=False)]
    return Table(cupy.asarray(np.asarray(table, np.int64)), len(rows), firsts[-1])
