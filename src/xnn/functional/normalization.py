"""Normalization of activations, over the batch or over each image's features."""

from collections.abc import Callable

from xnn._typing import Array, ArrayObject, Gradients, Pullback
from xnn.functional._common import check_floating, check_shape, namespace, rows, sum_rows
from xnn.functional.replicas import batch_rows, statistics_total


def batch_norm_statistics(x: ArrayObject) -> tuple[Array, Array]:
    """Return each channel's mean and (biased) variance over all other axes.

    Parameters
    ----------
    x : (..., c)

    Returns
    -------
    mean, variance : (c,)

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> mean, variance = F.batch_norm_statistics(np.asarray([[1.0, 10.0], [3.0, 10.0]]))
    >>> mean, variance
    (array([ 2., 10.]), array([1., 0.]))
    """
    check_floating("batch_norm_statistics", x=x)
    if batch_rows(x) == 0:
        raise ValueError(f"batch_norm: an empty batch has no mean and variance (shape {tuple(x.shape)})")
    mean = _mean_over_batch(x)
    centred = x - mean
    return mean, _mean_over_batch(centred * centred)


def batch_norm(
    x: ArrayObject,
    weight: ArrayObject | None = None,
    bias: ArrayObject | None = None,
    eps: float = 1e-5,
    statistics: tuple[ArrayObject, ArrayObject] | None = None,
) -> tuple[Array, Pullback]:
    """Normalize each channel to mean 0 and variance 1 over the batch, then scale and shift.

    Per channel, over the m numbers of all other axes::

        x̂ = (x - μ) r      r = 1 / √(σ² + ε)      y = γ x̂ + β

    μ and σ² depend on every x. With g = γ dy: ∂μ/∂x_i = 1/m and ∂σ²/∂x_i = 2 (x_i - μ)/m, so collecting the three
    ways from x_i to the loss gives (S. Ioffe, C. Szegedy, "Batch normalization", 2015, simplified)::

        dx = r (g - mean(g) - x̂ mean(g x̂))      dγ = Σ dy x̂      dβ = Σ dy

    Where the batch is spread over replicas, all four means are those over the whole batch (`xnn.functional.replicas`),
    while dγ and dβ are the replica's own sums.

    Parameters
    ----------
    x : (..., c)
    weight, bias : (c,) or None
        γ and β; None stands for 1 and 0.
    eps : float
    statistics : (mean, variance) or None
        Those of this x, from `batch_norm_statistics`, if they are already known; the derivative is the same.

    Returns
    -------
    y : (..., c)
    pullback : (dy, needs=(True, True, True)) -> (dx, dweight, dbias), None where not needed
        As sums over the batch, dweight and dbias are computed and returned in float32 if x has a narrower type.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.batch_norm(np.asarray([[1.0], [2.0], [3.0]]))
    >>> y.round(3).tolist()
    [[-1.225], [0.0], [1.225]]
    >>> dx, dweight, dbias = pullback(np.ones((3, 1)))
    >>> bool(abs(dx).max() < 1e-9)  # to move all of a channel by the same number changes nothing
    True
    """
    _check("batch_norm", x, weight, bias)
    mean, variance = batch_norm_statistics(x) if statistics is None else statistics
    return _normalize(x, weight, bias, mean, variance, eps, _mean_over_batch)


def batch_norm_inference(
    x: ArrayObject,
    weight: ArrayObject | None,
    bias: ArrayObject | None,
    mean: ArrayObject,
    variance: ArrayObject,
    eps: float = 1e-5,
) -> tuple[Array, Pullback]:
    """Normalize each channel by a given mean and variance, which are constants here.

    With r = 1 / √(variance + ε) and x̂ = (x - mean) r: y = γ x̂ + β, dx = γ r dy, dγ = Σ dy x̂, dβ = Σ dy.

    Parameters
    ----------
    x : (..., c)
    weight, bias : (c,) or None
    mean, variance : (c,)
    eps : float

    Returns
    -------
    y : (..., c)
    pullback : (dy, needs=(True, True, True)) -> (dx, dweight, dbias), None where not needed
        As sums over the batch, dweight and dbias are computed and returned in float32 if x has a narrower type.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> x, mean, variance = np.asarray([[2.0], [4.0]]), np.asarray([2.0]), np.asarray([4.0])
    >>> y, pullback = F.batch_norm_inference(x, None, None, mean, variance)
    >>> y.round(3).tolist()
    [[0.0], [1.0]]
    """
    _check("batch_norm_inference", x, weight, bias, mean=mean, variance=variance)
    xp = namespace(x)
    r = 1.0 / xp.sqrt(variance + eps)
    scale = r if weight is None else weight * r
    shift = -mean * scale if bias is None else bias - mean * scale
    y = x * scale + shift

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        return (
            dy * scale if needs[0] else None,
            sum_rows(rows(dy * ((x - mean) * r))) if needs[1] and weight is not None else None,
            sum_rows(rows(dy)) if needs[2] and bias is not None else None,
        )

    return y, pullback


def layer_norm(
    x: ArrayObject, weight: ArrayObject | None = None, bias: ArrayObject | None = None, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """Normalize the last axis of each position to mean 0 and variance 1, then scale and shift.

    The formulas are `batch_norm`'s, with the means taken over the c features of a position instead of over the batch
    (J. Ba, J. Kiros, G. Hinton, "Layer normalization", 2016)::

        dx = r (g - mean(g) - x̂ mean(g x̂)), g = γ dy      dγ = Σ dy x̂      dβ = Σ dy, summed over positions

    Parameters
    ----------
    x : (..., c)
    weight, bias : (c,) or None
        γ and β; None stands for 1 and 0.
    eps : float

    Returns
    -------
    y : (..., c)
    pullback : (dy, needs=(True, True, True)) -> (dx, dweight, dbias), None where not needed
        As sums over the batch, dweight and dbias are computed and returned in float32 if x has a narrower type.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> y, pullback = F.layer_norm(np.asarray([[1.0, 2.0, 3.0]]), np.full(3, 10.0), np.ones(3))
    >>> y.round(2)
    array([[-11.25,   1.  ,  13.25]])
    """
    _check("layer_norm", x, weight, bias)
    mean = _mean_over_features(x)
    centred = x - mean
    return _normalize(x, weight, bias, mean, _mean_over_features(centred * centred), eps, _mean_over_features)


def _normalize(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    variance: Array,
    eps: float,
    average: Callable[[Array], Array],
) -> tuple[Array, Callable[..., Gradients]]:
    """Normalize by x's own statistics, with `average` for the means."""
    xp = namespace(x)
    r = 1.0 / xp.sqrt(variance + eps)
    normalized = (x - mean) * r
    y = normalized if weight is None else normalized * weight
    if bias is not None:
        y = y + bias

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dx = None
        if needs[0]:
            g = dy if weight is None else dy * weight
            dx = r * (g - average(g) - normalized * average(g * normalized))
        return (
            dx,
            sum_rows(rows(dy * normalized)) if needs[1] and weight is not None else None,
            sum_rows(rows(dy)) if needs[2] and bias is not None else None,
        )

    return y, pullback


def _mean_over_batch(x: Array) -> Array:
    return namespace(x).astype(statistics_total(sum_rows(rows(x))) / batch_rows(x), x.dtype, copy=False)


def _mean_over_features(x: Array) -> Array:
    return namespace(x).mean(x, axis=-1, keepdims=True)


def _check(function: str, x: Array, weight: Array | None, bias: Array | None, **statistics: Array) -> None:
    check_floating(function, x=x, weight=weight, bias=bias, **statistics)
    if x.ndim == 0:
        raise ValueError(f"{function}: x must have at least one axis (..., c)")
    for name, array in {"weight": weight, "bias": bias, **statistics}.items():
        check_shape(function, name, array, (x.shape[-1],), "x's last axis")
