"""What every function here needs: its arguments' namespace, and checks that name the culprit."""

import functools
import math
from typing import Any

import array_api_compat

from xnn._typing import Array, Namespace, Shape


def namespace(x: Array) -> Namespace:
    """Return the Array API namespace of `x`, looked up once per array type, since the look-up takes microseconds."""
    kind = type(x)
    if kind not in _namespaces:
        _namespaces[kind] = array_api_compat.array_namespace(x)
    return _namespaces[kind]


_namespaces: dict[type, Namespace] = {}


def check_floating(function: str, **arrays: Array | None) -> None:
    """Raise TypeError unless all arrays given have the same real floating type; None stands for an absent array."""
    first = None
    for name, array in arrays.items():
        if array is None:
            continue
        xp = check_array(function, name, array)
        if not _is_floating(xp, array.dtype):
            raise TypeError(f"{function}: {name} must be an array of floating-point numbers, not {array.dtype}")
        if first is None:
            first = name, array.dtype, xp
        elif xp is not first[2]:
            raise TypeError(f"{function}: {name} is an array of {xp.__name__} but {first[0]} of {first[2].__name__}")
        elif array.dtype != first[1]:
            raise TypeError(
                f"{function}: {name} is {array.dtype} but {first[0]} is {first[1]}; convert one to the other"
            )


def sum_dtype(x: Array) -> Any:
    """Return the dtype in which to add up many numbers of `x`: float32 for narrower types, else None (x's own)."""
    return _sum_dtype(namespace(x), x.dtype)


@functools.cache
def _sum_dtype(xp: Namespace, dtype: Any) -> Any:
    return xp.float32 if xp.finfo(dtype).bits < 32 else None


def check_array(function: str, name: str, array: Array) -> Namespace:
    """Return the namespace of `array`, or raise TypeError if it is not an array."""
    try:
        return namespace(array)
    except TypeError:
        raise TypeError(f"{function}: {name} must be an array, not {type(array).__name__}") from None


@functools.cache
def _is_floating(xp: Namespace, dtype: Any) -> bool:
    return bool(xp.isdtype(dtype, "real floating"))


def check_shape(function: str, name: str, array: Array | None, expected: Shape, why: str) -> None:
    """Raise ValueError unless `array` is None or has exactly the shape `expected`."""
    if array is not None and array.shape != expected:
        raise ValueError(f"{function}: {name} must have shape {expected} ({why}), not {tuple(array.shape)}")


def check_axes(function: str, name: str, array: Array, axes: str) -> None:
    """Raise ValueError unless `array` has as many axes as `axes` names, such as ``"n, h, w, c"``."""
    count = axes.count(",") + 1
    if array.ndim != count:
        raise ValueError(f"{function}: {name} must have {count} axes ({axes}), not the shape {tuple(array.shape)}")


def rows(x: Array) -> Array:
    """Flatten all axes but the last: (..., n) -> (m, n)."""
    return x if x.ndim == 2 else namespace(x).reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


_FEW_ROWS = 128
"""Up to this many rows are added one by one."""
_PARTS = 16


def sum_rows(x: Array) -> Array:
    """Add up the rows of each matrix, (..., m, n) -> (..., n), in the type that `sum_dtype` names.

    Libraries may add rows one by one. The sum of many rows is so much larger than one row that each further row loses
    digits when it is added. Many rows are therefore cut into sixteen parts, which are added to each other, and so on
    until few rows are left: the error grows as log m, not as m.
    """
    xp, dtype = namespace(x), sum_dtype(x)
    while x.shape[-2] > _FEW_ROWS:
        *matrices, m, n = x.shape
        length = m // _PARTS
        whole = length * _PARTS
        sums = xp.sum(xp.reshape(x[..., :whole, :], (*matrices, _PARTS, length, n)), axis=-3, dtype=dtype)
        if whole < m:
            sums[..., 0, :] += xp.sum(x[..., whole:, :], axis=-2, dtype=dtype)
        x = sums
    return xp.sum(x, axis=-2, dtype=dtype)


def sum_axis(x: Array, axis: int) -> Array:
    """Add up x along one axis, kept with length 1, as accurately as `sum_rows`; the result has x's type."""
    xp, axis = namespace(x), axis % x.ndim
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    if math.prod(after) == 1:
        # Numbers that lie side by side do not form rows; libraries add them pairwise.
        sums = xp.sum(x, axis=axis, dtype=sum_dtype(x))
    else:
        sums = sum_rows(xp.reshape(x, (math.prod(before), x.shape[axis], math.prod(after))))
    return xp.astype(xp.reshape(sums, (*before, 1, *after)), x.dtype, copy=False)
