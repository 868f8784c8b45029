"""Twin of Muon: all matrices of a step together, those of one shape by one product, always in float32.

The iteration of `xnn.optim.orthogonalize` takes place on Gram matrices alone, so all those with equally many rows
share its products, however long the matrices are that they are of.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cupy
import numpy as np
from cupy._core import _routines_linalg

from xnn._tf32 import cupy_products
from xnn._typing import Array
from xnn.kernels.cupy.launching import Kernel
from xnn.kernels.cupy.products import multiply_stack

_BOOLS = ("false", "true")
_DIRECT = Kernel("muon", "direct", _BOOLS, _BOOLS)
_SCALE = Kernel("muon", "scale")
_BEGIN_POLYNOMIAL = Kernel("muon", "begin_polynomial")
_APPLY = Kernel("muon", "apply", _BOOLS)
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial, as in `xnn.optim.orthogonalize`."""

_THREADS = 256
_BLOCKS = 2048
"""Of a launch, roughly: all that fit on a large device at once."""

_products = cupy_products(_routines_linalg)


def muon(optimizer: Any, runs: Sequence[Any]) -> None:
    """As `xnn.optim.Muon` updates the matrices in its runs."""
    placed = tuple((matrix, decay != 0.0) for matrix, decay in optimizer.matrices_in(runs) if matrix.size)
    if not placed:
        return
    factors = tuple((optimizer.adjustment(m.rows, m.columns), math.sqrt(m.columns)) for m, _ in placed)
    plan = _plan(placed, factors, cupy.cuda.runtime.getDevice())
    lr, model, normalize = optimizer.lr, optimizer.model, _BOOLS[optimizer.normalize]
    parameters, gradients, velocity = model.parameters.flat, model.gradients.flat, optimizer.slots["velocity"]
    x, steps = cupy.empty((2, plan.total), np.float32)
    shares = len(placed) * plan.blocks
    x_sums, parameter_sums = cupy.empty((2, shares), np.float32)
    grid, block, each = (plan.blocks, len(placed)), (_THREADS,), 4 * plan.total

    _DIRECT.launch(
        (_BOOLS[optimizer.nesterov], normalize), grid, block,
        (plan.matrices, gradients, parameters, velocity), (velocity, x, x_sums, parameter_sums),
        (float(optimizer.momentum),), moved=each * (5 if optimizer.normalize else 4),
    )  # fmt: skip
    _SCALE.launch((), grid, block, (plan.matrices, x_sums, x), (x,), moved=2 * each)
    with _products(False):
        _orthogonalize(plan, x, steps, optimizer.iterations)
    _APPLY.launch(
        (normalize,), grid, block, (plan.matrices, plan.factors, steps, parameter_sums, parameters), (parameters,),
        (float(lr), float(1.0 - lr * optimizer.weight_decay)), moved=3 * each,
    )  # fmt: skip


class _Stack(NamedTuple):
    """Matrices of one shape that lie one after another, from the place `start` of a vector on."""

    start: int
    shape: tuple[int, int, int]

    def of(self, vector: Array) -> Array:
        """Return the matrices as (count, rows, columns)."""
        return vector[self.start : self.start + math.prod(self.shape)].reshape(self.shape)


class _Plan(NamedTuple):
    """What of an update depends only on the shapes and places of the matrices.

    Attributes
    ----------
    matrices, squares, factors : array
        The tables that `muon.cu` reads: of the matrices, of their Gram matrices, and of the steps' lengths.
    shapes : list of (_Stack, _Stack)
        The matrices of each shape, and their Gram matrices.
    sides : list of _Stack
        The Gram matrices of each size.
    total, squares_total : int
        Numbers in all matrices, and in all Gram matrices.
    blocks, squares_blocks : int
        Blocks for each of them.
    """

    matrices: Array
    squares: Array
    factors: Array
    shapes: list[tuple[_Stack, _Stack]]
    sides: list[_Stack]
    total: int
    squares_total: int
    blocks: int
    squares_blocks: int


def _side(matrix: Any) -> int:
    side: int = min(matrix.rows, matrix.columns)
    return side


@functools.lru_cache(64)
def _plan(placed: tuple[tuple[Any, bool], ...], factors: tuple[tuple[float, float], ...], device: int) -> _Plan:
    """Return the plan on the current device, `device`, for matrices, whether they decay, and their two factors."""
    # Those with Gram matrices of one size lie side by side, and among them those of one shape.
    order = sorted(range(len(placed)), key=lambda n: (_side(placed[n][0]), placed[n][0].rows, placed[n][0].columns))
    matrices = [placed[number][0] for number in order]
    places = [0, *itertools.accumulate(m.size for m in matrices)]
    corners = [0, *itertools.accumulate(_side(m) ** 2 for m in matrices)]
    table = [(m.start, place, m.size, placed[n][1]) for m, place, n in zip(matrices, places, order, strict=False)]
    squares = [(corner, _side(m)) for m, corner in zip(matrices, corners, strict=False)]
    shapes = []
    for (rows, columns), begin, count in _groups(matrices, lambda m: (m.rows, m.columns)):
        side = min(rows, columns)
        of_grams = _Stack(corners[begin], (count, side, side))
        shapes.append((_Stack(places[begin], (count, rows, columns)), of_grams))
    sides = [_Stack(corners[begin], (count, side, side)) for side, begin, count in _groups(matrices, _side)]
    return _Plan(
        cupy.asarray(np.asarray(table, np.int64)),
        cupy.asarray(np.asarray(squares, np.int64)),
        cupy.asarray(np.asarray([factors[number] for number in order], np.float32)),
        shapes,
        sides,
        places[-1],
        corners[-1],
        _blocks(len(matrices), max(m.size for m in matrices)),
        _blocks(len(matrices), max(_side(m) ** 2 for m in matrices)),
    )


def _groups(matrices: list[Any], key: Callable[[Any], Any]) -> list[tuple[Any, int, int]]:
    """Return each value of the key, with the number of the first matrix that has it, and how many have."""
    counts = [(value, len(list(group))) for value, group in itertools.groupby(matrices, key)]
    begins = itertools.accumulate((count for _, count in counts), initial=0)
    return [(value, begin, count) for (value, count), begin in zip(counts, begins, strict=False)]


def _blocks(matrices: int, largest: int) -> int:
    """Return how many blocks go over each of so many matrices, of which the largest has so many numbers."""
    return min(-(-largest // _THREADS), max(16, _BLOCKS // matrices))


class _Squares(NamedTuple):
    """A square matrix for each matrix: as one vector, and those of each size."""

    flat: Array
    stacks: list[Array]


def _orthogonalize(plan: _Plan, x: Array, result: Array, iterations: int) -> None:
    """Write what `xnn.optim.orthogonalize` makes of the matrices in x, which have the norm 1."""
    flats = cupy.empty((4, plan.squares_total), np.float32)
    gram, factor, spare, work = (_Squares(flat, [stack.of(flat) for stack in plan.sides]) for flat in flats)
    for stack, of_grams in plan.shapes:
        own, turned = stack.of(x), stack.of(x).swapaxes(1, 2)
        left, right = (own, turned) if _is_wide(stack) else (turned, own)
        multiply_stack(left, right, out=of_grams.of(gram.flat))
    step = factor
    _polynomial(plan, gram, step)
    for _ in range(iterations - 1):
        _multiply(step, gram, work)
        _multiply(work, step, gram)
        step = spare
        _polynomial(plan, gram, step)
        _multiply(step, factor, work)
        factor, work = work, factor
    for stack, of_grams in plan.shapes:
        own, square = stack.of(x), of_grams.of(factor.flat)
        left, right = (square, own) if _is_wide(stack) else (own, square.swapaxes(1, 2))
        multiply_stack(left, right, out=stack.of(result))


def _is_wide(stack: _Stack) -> bool:
    return stack.shape[1] <= stack.shape[2]


def _polynomial(plan: _Plan, gram: _Squares, result: _Squares) -> None:
    """Write a I + b G + c G²."""
    a, b, c = _COEFFICIENTS
    grid, flat = (plan.squares_blocks, len(plan.squares)), gram.flat
    _BEGIN_POLYNOMIAL.launch(
        (), grid, (_THREADS,), (plan.squares, flat), (result.flat,), (a, b), moved=8 * plan.squares_total
    )
    _multiply(gram, gram, result, alpha=c, beta=1.0)


def _multiply(left: _Squares, right: _Squares, result: _Squares, alpha: float = 1.0, beta: float = 0.0) -> None:
    """Write `alpha` times the products of the matrices, plus `beta` times what `result` holds."""
    for a, b, out in zip(left.stacks, right.stacks, result.stacks, strict=True):
        multiply_stack(a, b, out=out, alpha=alpha, beta=beta)
