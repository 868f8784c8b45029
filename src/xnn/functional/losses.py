"""Losses: a number for a batch, and the gradient of that number.

Each returns the loss as an array without axes, and a pullback to call with the gradient of whatever the loss flows
into, ``pullback(dloss)``; if nothing follows the loss, ``pullback()`` is enough. Targets get no gradient.
"""

import math

from xnn import _checks
from xnn._typing import Array, Pullback
from xnn.functional._common import check_array, check_axes, check_floating, check_shape, namespace
from xnn.functional.activations import sigmoid
from xnn.functional.softmax import log_softmax


def softmax_cross_entropy(logits: Array, labels: Array, label_smoothing: float = 0.0) -> tuple[Array, Pullback]:
    """Mean cross-entropy between softmax(logits) and the labels.

    With c classes and smoothing ε, the target is q_ij = (1 - ε) [j = label_i] + ε / c, and::

        loss = -(1/n) Σ_ij q_ij log softmax(logits)_ij      dlogits = dloss (softmax(logits) - q) / n

    since ∂(log softmax)_j/∂z_k = [j = k] - softmax_k and Σ_j q_ij = 1.

    Parameters
    ----------
    logits : (n, c)
    labels : (n,) of integers in [0, c)
        One outside makes the loss NaN. Raising an error would mean waiting for the device at every step.
    label_smoothing : float in [0, 1)

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dlogits

    References
    ----------
    C. Szegedy et al., "Rethinking the Inception architecture for computer vision", 2015, for the smoothing.
    """
    _check_classification(logits, labels, label_smoothing)
    xp = namespace(logits)
    n, classes = logits.shape
    log_probability, _ = log_softmax(logits)
    # In int64, since a narrower type of labels might not hold all the classes.
    index = xp.arange(classes, dtype=xp.int64, device=logits.device)
    is_label = xp.astype(labels, xp.int64)[:, None] == index[None, :]
    zero = xp.zeros_like(logits)
    # Selecting, not multiplying: 0 * -inf would be NaN for a class that is ruled out by a logit of -inf.
    total = (1.0 - label_smoothing) * xp.sum(xp.where(is_label, log_probability, zero))
    if label_smoothing:
        total += label_smoothing / classes * xp.sum(log_probability)
    every_label_valid = xp.all(xp.any(is_label, axis=1))
    loss = xp.where(every_label_valid, -total / n, xp.full_like(total, math.nan))

    def pullback(dloss: Array | float = 1.0) -> Array:
        target = (1.0 - label_smoothing) * xp.astype(is_label, logits.dtype) + label_smoothing / classes
        return (xp.exp(log_probability) - target) * (dloss / n)

    return loss, pullback


def binary_cross_entropy_with_logits(logits: Array, targets: Array) -> tuple[Array, Pullback]:
    """Mean cross-entropy between σ(logits) and targets in [0, 1].

    -t log σ(z) - (1 - t) log(1 - σ(z)) = max(z, 0) - t z + ``log(1 + e^-|z|)``, which cannot overflow; with N numbers
    in all::

        dlogits = dloss (σ(logits) - targets) / N

    Parameters
    ----------
    logits, targets : one shape, any

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dlogits
    """
    count = _check_pair("binary_cross_entropy_with_logits", "logits", logits, "targets", targets)
    xp = namespace(logits)
    positive = xp.maximum(logits, xp.zeros_like(logits))
    loss = xp.sum(positive - targets * logits + xp.log1p(xp.exp(-xp.abs(logits)))) / count

    def pullback(dloss: Array | float = 1.0) -> Array:
        probability, _ = sigmoid(logits)
        return (probability - targets) * (dloss / count)

    return loss, pullback


def mse(prediction: Array, target: Array) -> tuple[Array, Pullback]:
    """Mean squared error.

    With N numbers in all, loss = (1/N) Σ (prediction - target)² and dprediction = dloss 2 (prediction - target) / N.

    Parameters
    ----------
    prediction, target : one shape, any

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dprediction
    """
    count = _check_pair("mse", "prediction", prediction, "target", target)
    difference = prediction - target
    loss = namespace(prediction).sum(difference * difference) / count

    def pullback(dloss: Array | float = 1.0) -> Array:
        return difference * (2.0 * dloss / count)

    return loss, pullback


def huber(prediction: Array, target: Array, delta: float = 1.0) -> tuple[Array, Pullback]:
    """Mean Huber loss: quadratic up to an error of δ, linear beyond.

    With e = prediction - target and e' = e clipped to [-δ, δ], each term is e' (e - e'/2), which is e²/2 inside and
    δ (\\|e\\| - δ/2) outside. Its derivative is e' on both sides, so dprediction = dloss e' / N.

    Parameters
    ----------
    prediction, target : one shape, any
    delta : float, positive

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dprediction

    References
    ----------
    P. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.
    """
    if not delta > 0:
        raise ValueError(f"huber: delta must be positive, not {delta}")
    count = _check_pair("huber", "prediction", prediction, "target", target)
    xp = namespace(prediction)
    error = prediction - target
    clipped = xp.clip(error, -delta, delta)
    loss = xp.sum(clipped * (error - 0.5 * clipped)) / count

    def pullback(dloss: Array | float = 1.0) -> Array:
        return clipped * (dloss / count)

    return loss, pullback


def l2_penalty(weight: Array, strength: float) -> tuple[Array, Pullback]:
    """Quadratic penalty on a weight: loss = (strength / 2) Σ weight², so dweight = dloss strength weight.

    Parameters
    ----------
    weight : any shape
    strength : float, non-negative

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dweight
    """
    check_floating("l2_penalty", weight=weight)
    if not strength >= 0:
        raise ValueError(f"l2_penalty: strength must not be negative, not {strength}")
    loss = 0.5 * strength * namespace(weight).sum(weight * weight)

    def pullback(dloss: Array | float = 1.0) -> Array:
        return weight * (dloss * strength)

    return loss, pullback


def sum_losses(*losses: Array) -> tuple[Array, Pullback]:
    """Sum of losses, or a single loss itself; each gets the gradient of the sum.

    Parameters
    ----------
    *losses : arrays without axes, one or more

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> tuple with dloss for each loss
    """
    if not losses:
        raise ValueError("sum_losses: give at least one loss")
    for number, loss in enumerate(losses):
        check_shape("sum_losses", f"loss {number}", loss, (), "a loss is one number")
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss

    def pullback(dloss: Array | float = 1.0) -> tuple[Array | float, ...]:
        return (dloss,) * len(losses)

    return total, pullback


def _check_classification(logits: Array, labels: Array, label_smoothing: float) -> None:
    check_floating("softmax_cross_entropy", logits=logits)
    check_axes("softmax_cross_entropy", "logits", logits, "n, classes")
    xp = check_array("softmax_cross_entropy", "labels", labels)
    if xp is not namespace(logits):
        raise TypeError(f"softmax_cross_entropy: labels are of {xp.__name__}, logits of {namespace(logits).__name__}")
    if not xp.isdtype(labels.dtype, "integral"):
        raise TypeError(f"softmax_cross_entropy: labels must be integers (class indices), not {labels.dtype}")
    check_shape("softmax_cross_entropy", "labels", labels, (logits.shape[0],), "one for each row of logits")
    _checks.fraction("softmax_cross_entropy: label_smoothing", label_smoothing)
    _check_not_empty("softmax_cross_entropy", logits)


def _check_pair(function: str, first: str, a: Array, second: str, b: Array) -> int:
    """Check two arrays of one dtype and shape; return how many numbers each holds."""
    check_floating(function, **{first: a, second: b})
    check_shape(function, second, b, a.shape, f"that of {first}")
    _check_not_empty(function, a)
    return math.prod(a.shape)


def _check_not_empty(function: str, x: Array) -> None:
    if math.prod(x.shape) == 0:
        raise ValueError(f"{function}: the mean over an empty batch is undefined (shape {tuple(x.shape)})")
