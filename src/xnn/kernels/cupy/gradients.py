"""What a pullback is given, as the kernels take it."""

from typing import Any

import cupy

from xnn._typing import Array, Shape


def as_gradient(dy: Array, shape: Shape, dtype: Any) -> Array:
    """Return the gradient of a y of this shape and type as a contiguous array of the same; y itself need not be kept.

    Raises
    ------
    ValueError
        If dy has another shape and cannot be broadcast to that of y.
    """
    if dy.shape != shape:
        dy = cupy.broadcast_to(dy, shape)
    return cupy.ascontiguousarray(dy, dtype)


def exact_gradient(function: str, dy: Array, shape: Shape, dtype: Any) -> Array:
    """As `as_gradient`, for functions that do not broadcast it."""
    if dy.shape != shape:
        raise ValueError(f"{function}: dy must have the shape {shape} of y, not {dy.shape}")
    return cupy.ascontiguousarray(dy, dtype)
