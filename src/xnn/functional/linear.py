"""The affine map."""

from xnn._typing import Array, ArrayObject, Gradients, Pullback
from xnn.functional._common import check_floating, check_shape, namespace, rows, sum_rows


def linear(x: ArrayObject, weight: ArrayObject, bias: ArrayObject | None = None) -> tuple[Array, Pullback]:
    """Affine map y = x W + b.

    With X and dY flattened to two axes, y_ij = Σ_k x_ik w_kj + b_j, so for a loss L with dY = ∂L/∂Y::

        dX = dY Wᵀ      dW = Xᵀ dY      db = Σ_i dY_i

    Parameters
    ----------
    x : (..., n)
    weight : (n, m)
    bias : (m,) or None

    Returns
    -------
    y : (..., m)
    pullback : (dy, needs=(True, True, True)) -> (dx, dweight, dbias), None where not needed
        As a sum over the batch, dbias is computed and returned in float32 if x has a narrower type.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> x, weight, bias = np.asarray([[1.0, 2.0]]), np.asarray([[1.0, 0.0], [0.0, 10.0]]), np.ones(2)
    >>> y, pullback = F.linear(x, weight, bias)
    >>> y
    array([[ 2., 21.]])
    >>> dx, dweight, dbias = pullback(np.asarray([[1.0, 1.0]]), needs=(False, True, True))
    >>> dx, dweight, dbias
    (None, array([[1., 1.],
           [2., 2.]]), array([1., 1.]))
    """
    check_floating("linear", x=x, weight=weight, bias=bias)
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[0]:
        raise ValueError(
            f"linear: x (..., n) and weight (n, m) do not fit: shapes {tuple(x.shape)} and {tuple(weight.shape)}"
        )
    check_shape("linear", "bias", bias, (weight.shape[1],), "weight's columns")
    # Products of two axes: with more, CuPy would compute neither in TF32 nor in float16.
    xp = namespace(x)
    y = xp.reshape(rows(x) @ weight, (*x.shape[:-1], weight.shape[1]))
    if bias is not None:
        y += bias

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dx = xp.reshape(rows(dy) @ weight.T, x.shape) if needs[0] else None
        dweight = rows(x).T @ rows(dy) if needs[1] else None
        dbias = sum_rows(rows(dy)) if needs[2] and bias is not None else None
        return dx, dweight, dbias

    return y, pullback
