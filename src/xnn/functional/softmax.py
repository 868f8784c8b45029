"""Softmax and its logarithm."""

from xnn._typing import Array, ArrayObject, Pullback
from xnn.functional._common import check_floating, namespace, sum_axis


def softmax(x: ArrayObject, axis: int = -1) -> tuple[Array, Pullback]:
    """Softmax y_i = e^(x_i) / Σ_j e^(x_j) along an axis.

    The largest x is subtracted first, which changes nothing (y is invariant to shifts) and keeps every exponential
    in (0, 1]. From ∂y_i/∂x_j = y_i ([i = j] - y_j)::

        dx = y (dy - Σ_i dy_i y_i)

    Parameters
    ----------
    x : any shape
    axis : int

    Returns
    -------
    y : x's shape, non-negative, summing to 1 along `axis`
    pullback : dy -> dx

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.softmax(np.asarray([[1.0, 2.0, 3.0]]))
    >>> y.round(3)
    array([[0.09 , 0.245, 0.665]])
    >>> bool(abs(pullback(np.ones((1, 3)))).max() < 1e-12)  # the sum is 1, whatever x
    True
    """
    check_floating("softmax", x=x)
    xp = namespace(x)
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    y = e / sum_axis(e, axis)

    def pullback(dy: Array) -> Array:
        return y * (dy - sum_axis(dy * y, axis))

    return y, pullback


def log_softmax(x: ArrayObject, axis: int = -1) -> tuple[Array, Pullback]:
    """Logarithm of softmax, y_i = x_i - log Σ_j e^(x_j), along an axis.

    From ∂y_i/∂x_j = [i = j] - softmax(x)_j::

        dx = dy - softmax(x) Σ_i dy_i

    Parameters
    ----------
    x : any shape
    axis : int

    Returns
    -------
    y : x's shape, non-positive
    pullback : dy -> dx

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.log_softmax(np.asarray([[0.0, 1000.0]]))
    >>> y
    array([[-1000.,     0.]])
    """
    check_floating("log_softmax", x=x)
    xp = namespace(x)
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    y = shifted - xp.log(sum_axis(xp.exp(shifted), axis))

    def pullback(dy: Array) -> Array:
        return dy - xp.exp(y) * sum_axis(dy, axis)

    return y, pullback
