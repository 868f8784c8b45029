"""The twin of the affine map.

BLAS, held to one thread, computes the products; each of our threads computes some rows or columns of the result. With
a few rows nearly all the time goes into reading the weight and writing its gradient once each, for which one core is
enough. A single row, as in training image by image, has its own kernels (`xnn.kernels.numpy.single_row`).
"""

from typing import Any

import numpy as np

from xnn import functional as F
from xnn._typing import Array, Pending, Pullback
from xnn.kernels.numpy import single_row
from xnn.kernels.numpy.activations import relu_pullback
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.threads import as_slice, threads
from xnn.kernels.pending import Computed, Outer

_F = np.float32
_FEW_ROWS = 2
"""Rows up to which a product is bound by memory."""

_LEAST_PRODUCT = 2**21
"""Fewest multiplications that are worth waking a thread for."""

_TINY_PRODUCT = 2**13
"""With fewer multiplications, BLAS uses one thread anyway and need not be told to."""

_LEAST_OUTER = 2**16
"""Fewest numbers of a weight for which a single row uses its own kernels, and the gradient waits as two vectors."""


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Pullback]:
    """As `xnn.functional.linear`."""
    if not _is_plain(x, weight, bias):
        return F.linear(x, weight, bias)
    y = _product(x, weight)
    if bias is not None:
        y += bias

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> tuple[Any, ...]:
        return _gradients(x, weight, bias, dy, needs)

    return y, pullback


def linear_relu(x: Array, affine: tuple[Array, Array | None], _: tuple[()]) -> tuple[Array, Pullback] | None:
    """As `linear`, followed by ReLU."""
    weight, bias = affine
    if not _is_plain(x, weight, bias):
        return None
    y = _product(x, weight)
    _shift_relu(y, np.zeros(y.shape[1], np.float32) if bias is None else bias)

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> tuple[Any, ...]:
        return _gradients(x, weight, bias, _masked(y, dy), needs)

    return y, pullback


def _is_plain(x: Array, weight: Array, bias: Array | None) -> bool:
    if bias is not None and (bias.shape != weight.shape[1:] or bias.dtype != np.float32):
        return False
    fits = x.ndim == weight.ndim == 2 and x.shape[1] == weight.shape[0]
    return bool(fits and x.dtype == np.float32 and weight.dtype == np.float32)


def _is_single(x: Array, weight: Array) -> bool:
    return len(x) == 1 and weight.size >= _LEAST_OUTER


def _product(x: Array, weight: Array) -> Array:
    if _is_single(x, weight) and single_row.suits(x, weight):
        return single_row.product(x[0], weight)
    return product(x, weight)


def _gradients(
    x: Array, weight: Array, bias: Array | None, dy: Array, needs: tuple[bool, bool, bool]
) -> tuple[Any, ...]:
    dweight: Pending | None = None
    if needs[1] and _is_single(x, weight):
        dweight = Outer(x[0].copy(), dy[0].copy())
    elif needs[1]:
        dweight = Computed(lambda place: _weight_gradient(x, dy, place))
    return (
        product(dy, weight.T) if needs[0] else None,
        dweight,
        dy.sum(axis=0) if needs[2] and bias is not None else None,
    )


def _masked(y: Array, dy: Array) -> Array:
    """dy where y is positive, else 0."""
    if dy.dtype != np.float32 or not dy.flags.c_contiguous:
        return np.where(y > 0.0, dy, np.zeros((), dy.dtype))
    dz = empty(dy.shape)
    relu_pullback(y.reshape(-1), dy.reshape(-1), dz.reshape(-1))
    return dz


def product(a: Array, b: Array, result: Array | None = None) -> Array:
    """Return a b, written to `result` if there is one."""
    (rows, terms), columns = a.shape, b.shape[1]
    y = empty((rows, columns)) if result is None else result
    pool, work = threads(), rows * terms * columns
    if work < _TINY_PRODUCT:
        return np.matmul(a, b, out=y)
    is_large = min(rows, terms, columns) > _FEW_ROWS and work >= _LEAST_PRODUCT
    if is_large and pool.blas.allows_products:
        return pool.blas.all_threads(np.matmul, a, b, y)
    if not is_large or pool.count == 1:
        return pool.blas.one_thread(np.matmul, a, b, y)
    if rows > columns:
        pool.run(lambda part: np.matmul(a[as_slice(part)], b, out=y[as_slice(part)]), pool.parts(rows))
    else:
        pool.run(lambda part: np.matmul(a, b[:, as_slice(part)], out=y[:, as_slice(part)]), pool.parts(columns))
    return y


def _weight_gradient(x: Array, dy: Array, dweight: Array | None) -> Array:
    if len(x) > _FEW_ROWS:
        return product(x.T, dy, dweight)
    result = empty((x.shape[1], dy.shape[1])) if dweight is None else dweight
    if len(x):
        _add_outers(x, dy, result)
    else:
        result[...] = 0.0
    return result


@compiled
def _shift_relu(y: Any, bias: Any) -> None:
    for i in range(y.shape[0]):
        row = y[i]
        for j in range(row.size):
            z = row[j] + bias[j]
            # In this form NaN stays NaN.
            row[j] = _F(0.0) if z <= _F(0.0) else z


@compiled
def _add_outers(x: Any, dy: Any, dweight: Any) -> None:
    for k in range(x.shape[1]):
        factor = x[0, k]
        for j in range(dy.shape[1]):
            dweight[k, j] = factor * dy[0, j]
        for row in range(1, x.shape[0]):
            factor = x[row, k]
            for j in range(dy.shape[1]):
                dweight[k, j] += factor * dy[row, j]
