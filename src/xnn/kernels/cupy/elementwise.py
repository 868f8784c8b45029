"""What the twins of elementwise functions share."""

from collections.abc import Callable

import cupy

from xnn._typing import Array, Pullback
from xnn.kernels.cupy.launching import spread


def spread_packs(x: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return grid and block for `map_numbers` of `elementwise.cuh`, whose threads take 16 bytes of x at once."""
    return spread(-(-x.nbytes // 16))


def linear_pullback(pull: Callable[[Array], Array], like: Array) -> Pullback:
    """Return a pullback that calls ``pull(dy)`` with a contiguous dy of the type and shape of `like`.

    dx = f'(x) dy, so for any other dy it is ``pull`` of ones that gets multiplied. Only what `like` looks like is kept.
    """
    dtype, shape = like.dtype, like.shape

    def pullback(dy: Array) -> Array:
        if dy.dtype != dtype or dy.shape != shape:
            return dy * pull(cupy.ones(shape, dtype))
        return pull(dy if dy.flags.c_contiguous else cupy.ascontiguousarray(dy))

    return pullback
