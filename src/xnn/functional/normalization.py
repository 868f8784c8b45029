"""Normalization of activations, over the batch or over each image's features."""

import math
from collections.abc import Callable

from xnn._typing import Array, Pullback
from xnn.functional._common import check_floating, check_shape, namespace
from xnn.functional.activations import activated

_Gradients = tuple[Array | None, Array | None, Array | None]


def batch_norm_statistics(x: Array) -> tuple[Array, Array]:
    """Return each channel's mean and (biased) variance over all other axes.

    Parameters
    ----------
    x : (..., c)

    Returns
    -------
    mean, variance : (c,)
    """
    check_floating("batch_norm_statistics", x=x)
    count = math.prod(x.shape[:-1])
    if count == 0:
        raise ValueError(f"batch_norm: an empty batch has no mean and variance (shape {tuple(x.shape)})")
    xp = namespace(x)
    axes = tuple(range(x.ndim - 1))
    mean = xp.mean(x, axis=axes)
    centred = x - mean
    return mean, xp.mean(centred * centred, axis=axes)


def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    statistics: tuple[Array, Array] | None = None,
    activation: str | None = None,
) -> tuple[Array, Pullback]:
    """Normalize each channel to mean 0 and variance 1 over the batch, then scale and shift.

    Per channel, over the m numbers of all other axes::

        x̂ = (x - μ) r      r = 1 / √(σ² + ε)      y = γ x̂ + β

    μ and σ² depend on every x. With g = γ dy: ∂μ/∂x_i = 1/m and ∂σ²/∂x_i = 2 (x_i - μ)/m, so collecting the three
    ways from x_i to the loss gives (S. Ioffe, C. Szegedy, "Batch normalization", 2015, simplified)::

        dx = r (g - mean(g) - x̂ mean(g x̂))      dγ = Σ dy x̂      dβ = Σ dy

    Parameters
    ----------
    x : (..., c)
    weight, bias : (c,) or None
        γ and β; None stands for 1 and 0.
    eps : float
    statistics : (mean, variance) or None
        Those of this very x, from `batch_norm_statistics`, where they are known already; the derivative is the same.
    activation : "relu", "gelu" or None
        Applied to the result; dy is then first taken through its pullback.

    Returns
    -------
    y : (..., c)
    pullback : (dy, needs=(True, True, True)) -> (dx, dweight, dbias), None where not needed
    """
    _check("batch_norm", x, weight, bias)
    mean, variance = batch_norm_statistics(x) if statistics is None else statistics
    result = _normalize(x, weight, bias, mean, variance, eps, tuple(range(x.ndim - 1)))
    return activated("batch_norm", result, activation)


def batch_norm_inference(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    variance: Array,
    eps: float = 1e-5,
    activation: str | None = None,
) -> tuple[Array, Pullback]:
    """Normalize each channel by a given mean and variance, which are constants here.

    With r = 1 / √(variance + ε) and x̂ = (x - mean) r: y = γ x̂ + β, dx = γ r dy, dγ = Σ dy x̂, dβ = Σ dy.

    Parameters
    ----------
    x : (..., c)
    weight, bias : (c,) or None
    mean, variance : (c,)
    eps : float
    activation : "relu", "gelu" or None
        As in `batch_norm`.

    Returns
    -------
    y : (..., c)
    pullback : (dy, needs=(True, True, True)) -> (dx, dweight, dbias), None where not needed
    """
    _check("batch_norm_inference", x, weight, bias, mean=mean, variance=variance)
    xp = namespace(x)
    r = 1.0 / xp.sqrt(variance + eps)
    scale = r if weight is None else weight * r
    shift = -mean * scale if bias is None else bias - mean * scale
    y = x * scale + shift

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> _Gradients:
        axes = tuple(range(dy.ndim - 1))
        return (
            dy * scale if needs[0] else None,
            xp.sum(dy * ((x - mean) * r), axis=axes) if needs[1] and weight is not None else None,
            xp.sum(dy, axis=axes) if needs[2] and bias is not None else None,
        )

    return activated("batch_norm_inference", (y, pullback), activation)


def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
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
    """
    _check("layer_norm", x, weight, bias)
    xp = namespace(x)
    mean = xp.mean(x, axis=-1, keepdims=True)
    centred = x - mean
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    return _normalize(x, weight, bias, mean, variance, eps, (x.ndim - 1,))


def _normalize(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    variance: Array,
    eps: float,
    axes: tuple[int, ...],
) -> tuple[Array, Callable[..., _Gradients]]:
    """Normalize by statistics that were taken over `axes` of x itself."""
    xp = namespace(x)
    r = 1.0 / xp.sqrt(variance + eps)
    normalized = (x - mean) * r
    y = normalized if weight is None else normalized * weight
    if bias is not None:
        y = y + bias

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> _Gradients:
        positions = tuple(range(dy.ndim - 1))
        dx = None
        if needs[0]:
            g = dy if weight is None else dy * weight
            along = xp.mean(g * normalized, axis=axes, keepdims=True)
            dx = r * (g - xp.mean(g, axis=axes, keepdims=True) - normalized * along)
        return (
            dx,
            xp.sum(dy * normalized, axis=positions) if needs[1] and weight is not None else None,
            xp.sum(dy, axis=positions) if needs[2] and bias is not None else None,
        )

    return y, pullback


def _check(function: str, x: Array, weight: Array | None, bias: Array | None, **statistics: Array) -> None:
    check_floating(function, x=x, weight=weight, bias=bias, **statistics)
    if x.ndim == 0:
        raise ValueError(f"{function}: x must have at least one axis (..., c)")
    for name, array in {"weight": weight, "bias": bias, **statistics}.items():
        check_shape(function, name, array, (x.shape[-1],), "x's last axis")
