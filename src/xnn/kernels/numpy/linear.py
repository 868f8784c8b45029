"""The twin of the affine map: products cut among the threads, each by BLAS on its own."""

from collections.abc import Callable

import numpy as np

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.threads import threads

_LEAST_PRODUCT = 2**21
"""Fewest multiplications that are worth waking a thread for."""


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Pullback]:
    """As `xnn.functional.linear`."""
    plain = (
        x.ndim == weight.ndim == 2
        and x.shape[1] == weight.shape[0]
        and x.dtype == weight.dtype == np.float32
        and (bias is None or (bias.shape == weight.shape[1:] and bias.dtype == np.float32))
    )
    if not plain:
        return F.linear(x, weight, bias)
    y = product(x, weight)
    if bias is not None:
        y += bias

    def pullback(
        dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)
    ) -> tuple[Array | None, Array | None, Array | None]:
        return (
            product(dy, weight.T) if needs[0] else None,
            product(x.T, dy) if needs[1] else None,
            dy.sum(axis=0) if needs[2] and bias is not None else None,
        )

    return y, pullback


def product(a: Array, b: Array) -> Array:
    """a b, its rows or its columns cut among the threads."""
    (rows, inner), columns = a.shape, b.shape[1]
    pool = threads()
    most = max(rows * inner * columns // _LEAST_PRODUCT, 1)
    if most == 1:
        with pool.alone():
            return a @ b
    result = empty((rows, columns))
    length = max(rows, columns)
    parts = pool.parts(length, -(-length // most))
    compute: Callable[[range], object]
    if rows >= columns:

        def compute(part: range) -> object:
            return np.matmul(a[part.start : part.stop], b, out=result[part.start : part.stop])

    else:

        def compute(part: range) -> object:
            return np.matmul(a, b[:, part.start : part.stop], out=result[:, part.start : part.stop])

    pool.run(compute, parts)
    return result
