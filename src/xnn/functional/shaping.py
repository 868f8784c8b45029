"""Functions that move numbers, or join several arrays, without computing on them."""

import math
from collections.abc import Sequence

from xnn._typing import Array, ArrayObject, Namespace, Pullback, Shape
from xnn.functional._common import check_array, check_floating, namespace, sum_axis


def reshape(x: ArrayObject, shape: Shape) -> tuple[Array, Pullback]:
    """Give x another shape, in row-major order; the pullback gives dy the old one.

    y and dx may be views of x and dy.

    Parameters
    ----------
    x : any shape
    shape : tuple of int
        As many elements as x; one entry may be -1, to be inferred.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.reshape(np.arange(6.0), (2, -1))
    >>> y.shape, pullback(np.ones((2, 3))).shape
    ((2, 3), (6,))
    """
    xp = check_array("reshape", "x", x)
    return _reshaped(xp, x, _inferred(x.shape, shape))


def flatten(x: ArrayObject) -> tuple[Array, Pullback]:
    """Join all axes but the first: (n, ...) -> (n, m).

    y and dx may be views of x and dy.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.flatten(np.zeros((10, 8, 8, 3)))
    >>> y.shape, pullback(y).shape
    ((10, 192), (10, 8, 8, 3))
    """
    xp = check_array("flatten", "x", x)
    if x.ndim == 0:
        raise ValueError("flatten: x must have a batch axis")
    return _reshaped(xp, x, (x.shape[0], math.prod(x.shape[1:])))


def _reshaped(xp: Namespace, x: Array, shape: Shape) -> tuple[Array, Pullback]:
    before = x.shape

    def pullback(dy: Array) -> Array:
        return xp.reshape(dy, before)

    return xp.reshape(x, shape), pullback


def add(a: ArrayObject, b: ArrayObject) -> tuple[Array, Pullback]:
    """Sum of two arrays, broadcast to one shape; the residual connection.

    Each operand gets dy, summed over the axes along which it was broadcast. The gradient of an operand that was not
    broadcast is dy itself.

    Returns
    -------
    y : the broadcast shape
    pullback : (dy, needs=(True, True)) -> (da, db), None where not needed

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.add(np.ones((2, 3)), np.asarray([1.0, 2.0, 3.0]))
    >>> da, db = pullback(np.ones((2, 3)))
    >>> da.shape, db
    ((2, 3), array([2., 2., 2.]))
    """
    check_floating("add", a=a, b=b)
    shapes = a.shape, b.shape
    if any(m != n and 1 not in (m, n) for m, n in zip(reversed(a.shape), reversed(b.shape), strict=False)):
        raise ValueError(f"add: shapes {tuple(a.shape)} and {tuple(b.shape)} do not broadcast to one")
    y = a + b

    def pullback(dy: Array, needs: tuple[bool, bool] = (True, True)) -> tuple[Array | None, Array | None]:
        da, db = (_sum_to(dy, shape) if need else None for shape, need in zip(shapes, needs, strict=True))
        return da, db

    return y, pullback


def concatenate(arrays: Sequence[ArrayObject], axis: int = -1) -> tuple[Array, Pullback]:
    """Join arrays along an axis; the pullback cuts dy at the seams, into views of dy.

    Parameters
    ----------
    arrays : one or more, equal in all axes but `axis`

    Returns
    -------
    y : with the arrays' lengths summed along `axis`
    pullback : dy -> tuple of gradients, one for each array

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.concatenate([np.zeros((2, 3)), np.ones((2, 1))])
    >>> y
    array([[0., 0., 0., 1.],
           [0., 0., 0., 1.]])
    >>> [piece.shape for piece in pullback(y)]
    [(2, 3), (2, 1)]
    """
    if not arrays:
        raise ValueError("concatenate: give at least one array")
    check_floating("concatenate", **{f"array {number}": array for number, array in enumerate(arrays)})
    _check_joinable(arrays, axis)
    y = namespace(arrays[0]).concat(list(arrays), axis=axis)
    lengths = [array.shape[axis] for array in arrays]

    def pullback(dy: Array) -> tuple[Array, ...]:
        pieces, start = [], 0
        before = (slice(None),) * (axis % dy.ndim)
        for length in lengths:
            pieces.append(dy[*before, start : start + length, ...])
            start += length
        return tuple(pieces)

    return y, pullback


def _check_joinable(arrays: Sequence[Array], axis: int) -> None:
    axes = arrays[0].ndim
    if not -axes <= axis < axes:
        raise ValueError(f"concatenate: there is no axis {axis} in arrays of shape {tuple(arrays[0].shape)}")
    others = {tuple(length for number, length in enumerate(array.shape) if number != axis % axes) for array in arrays}
    if len(others) > 1 or any(array.ndim != axes for array in arrays):
        shapes = ", ".join(str(tuple(array.shape)) for array in arrays)
        raise ValueError(f"concatenate: shapes {shapes} differ in more than axis {axis}")


def _inferred(before: Shape, shape: Shape) -> Shape:
    """Fill in the -1 by hand, since libraries refuse to do it if an axis has length 0."""
    known = math.prod(length for length in shape if length != -1)
    size = math.prod(before)
    missing = shape.count(-1)
    if all(length >= -1 for length in shape):
        if not missing and known == size:
            return shape
        if missing == 1 and known and size % known == 0:
            return tuple(size // known if length == -1 else length for length in shape)
    raise ValueError(f"reshape: an array of shape {tuple(before)} cannot take the shape {tuple(shape)}")


def _sum_to(dy: Array, shape: Shape) -> Array:
    """Sum dy over the axes along which an array of that shape was broadcast."""
    if dy.shape == shape:
        return dy
    for axis, length in enumerate((1,) * (dy.ndim - len(shape)) + shape):
        if length != dy.shape[axis]:
            dy = sum_axis(dy, axis)
    return namespace(dy).reshape(dy, shape)
