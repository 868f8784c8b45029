"""Losses: a number for a batch, and the gradient of that number.

Each returns the loss as an array without axes, and a pullback to call with the gradient of whatever the loss flows
into, ``pullback(dloss)``; if nothing follows the loss, ``pullback()`` is enough. Targets get no gradient.
"""

import math

from xnn import _checks
from xnn._arrays import clamp
from xnn._typing import Array, ArrayObject, Pullback
from xnn.functional._common import check_array, check_axes, check_floating, check_shape, namespace
from xnn.functional.activations import sigmoid
from xnn.functional.replicas import batch_length, total
from xnn.functional.softmax import log_softmax


def softmax_cross_entropy(
    logits: ArrayObject,
    labels: ArrayObject,
    label_smoothing: float = 0.0,
    class_weight: ArrayObject | None = None,
    sample_weight: ArrayObject | None = None,
) -> tuple[Array, Pullback]:
    """Mean cross-entropy between softmax(logits) and the labels.

    A label is a class, or a distribution p over the classes; a class l is the distribution p_j = [j = l]. With c
    classes and smoothing ε, the target is q_ij = (1 - ε) p_ij + ε / c, and::

        loss = -(1/n) Σ_ij q_ij log softmax(logits)_ij      dlogits = dloss (softmax(logits) - q) / n

    since ∂(log softmax)_j/∂z_k = [j = k] - softmax_k and Σ_j q_ij = 1.

    With weights u_j of the classes and s_i of the samples (1 where there are none), the mean is a weighted one::

        t_ij = s_i u_j q_ij      Z = Σ_ij s_i u_j p_ij      loss = -(1/Z) Σ_ij t_ij log softmax(logits)_ij
        dlogits_ij = dloss (softmax(logits)_ij Σ_k t_ik - t_ij) / Z

    For labels that are classes, Z is the sum of the labels' weights, as in PyTorch's ``CrossEntropyLoss(weight=...)``.
    PyTorch divides by n instead where labels are distributions; here both forms of one label give the same loss.

    Parameters
    ----------
    logits : (n, c)
    labels : (n,) of integers in [0, c), or (n, c) of non-negative numbers whose rows sum to 1
        An integer outside makes the loss NaN. Raising an error would mean waiting for the device at every step.
    label_smoothing : float in [0, 1)
    class_weight : (c,) or None
        Non-negative.
    sample_weight : (n,) or None
        Non-negative. If Z is 0, the loss is NaN.

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dlogits

    References
    ----------
    C. Szegedy et al., "Rethinking the Inception architecture for computer vision", 2015, for the smoothing.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> logits, labels = np.asarray([[2.0, 0.0], [0.0, 0.0]]), np.asarray([0, 1])
    >>> loss, pullback = F.softmax_cross_entropy(logits, labels)
    >>> round(float(loss), 4)
    0.41
    >>> pullback().round(4)
    array([[-0.0596,  0.0596],
           [ 0.25  , -0.25  ]])
    """
    _check_classification(logits, labels, label_smoothing, class_weight, sample_weight)
    xp = namespace(logits)
    n, classes = batch_length(logits.shape[0]), logits.shape[1]
    log_probability, _ = log_softmax(logits)
    probability, every_label_valid = _distribution(logits, labels)
    target = probability
    if label_smoothing:
        target = (1.0 - label_smoothing) * probability + label_smoothing / classes
    total_weight: Array | int = n
    if class_weight is not None or sample_weight is not None:
        weight = 1.0 if sample_weight is None else sample_weight[:, None]
        weight = weight if class_weight is None else weight * class_weight[None, :]
        target, total_weight = weight * target, total(xp.sum(weight * probability))
    # Selecting, not only multiplying: 0 * -inf would be NaN for a class that is ruled out by a logit of -inf.
    zero = xp.zeros_like(logits)
    likelihood = xp.sum(target * xp.where(target == zero, zero, log_probability))
    loss = total(xp.where(every_label_valid, -likelihood, xp.full_like(likelihood, math.nan))) / total_weight

    def pullback(dloss: Array | float = 1.0) -> Array:
        mass = xp.sum(target, axis=1, keepdims=True)
        return (xp.exp(log_probability) * mass - target) * (dloss / total_weight)

    return loss, pullback


def binary_cross_entropy_with_logits(
    logits: ArrayObject, targets: ArrayObject, sample_weight: ArrayObject | None = None
) -> tuple[Array, Pullback]:
    """Mean cross-entropy between σ(logits) and targets in [0, 1].

    -t log σ(z) - (1 - t) log(1 - σ(z)) = max(z, 0) - t z + ``log(1 + e^-|z|)``, which cannot overflow; with N numbers
    in all::

        dlogits = dloss (σ(logits) - targets) / N

    Parameters
    ----------
    logits, targets : one shape, any
    sample_weight : (n,) or None
        A weight for each entry of the first axis; see `mse`.

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dlogits

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> loss, pullback = F.binary_cross_entropy_with_logits(np.asarray([0.0, 3.0]), np.asarray([1.0, 1.0]))
    >>> round(float(loss), 4), pullback().round(4)
    (0.3709, array([-0.25  , -0.0237]))
    """
    name = "binary_cross_entropy_with_logits"
    weight, divisor = _check_pair(name, "logits", logits, "targets", targets, sample_weight)
    xp = namespace(logits)
    positive = xp.maximum(logits, xp.zeros_like(logits))
    loss = total(xp.sum(weight * (positive - targets * logits + xp.log1p(xp.exp(-xp.abs(logits)))))) / divisor

    def pullback(dloss: Array | float = 1.0) -> Array:
        probability, _ = sigmoid(logits)
        return (probability - targets) * (weight * (dloss / divisor))

    return loss, pullback


def mse(
    prediction: ArrayObject, target: ArrayObject, sample_weight: ArrayObject | None = None
) -> tuple[Array, Pullback]:
    """Mean squared error.

    With N numbers in all, loss = (1/N) Σ (prediction - target)² and dprediction = dloss 2 (prediction - target) / N.

    With weights s_i of n samples of k numbers each, it is the weighted mean of the samples' own errors::

        loss = Σ_i s_i Σ_j (prediction_ij - target_ij)² / (k Σ_i s_i)

    so that N becomes k Σ_i s_i, and each term and its derivative are multiplied by s_i. Weights of 1 change nothing.

    Parameters
    ----------
    prediction, target : one shape, any
    sample_weight : (n,) or None
        A weight for each entry of the first axis, not negative. If all are 0, the loss is NaN.

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dprediction

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> loss, pullback = F.mse(np.asarray([1.0, 4.0]), np.asarray([0.0, 2.0]))
    >>> float(loss), pullback()
    (2.5, array([1., 2.]))
    """
    weight, divisor = _check_pair("mse", "prediction", prediction, "target", target, sample_weight)
    difference = prediction - target
    loss = total(namespace(prediction).sum(weight * (difference * difference))) / divisor

    def pullback(dloss: Array | float = 1.0) -> Array:
        return difference * (weight * (2.0 * dloss / divisor))

    return loss, pullback


def huber(
    prediction: ArrayObject, target: ArrayObject, delta: float = 1.0, sample_weight: ArrayObject | None = None
) -> tuple[Array, Pullback]:
    """Mean Huber loss: quadratic up to an error of δ, linear beyond.

    With e = prediction - target and e' = e clipped to [-δ, δ], each term is e' (e - e'/2), which is e²/2 inside and
    δ (\\|e\\| - δ/2) outside. Its derivative is e' on both sides, so dprediction = dloss e' / N.

    Parameters
    ----------
    prediction, target : one shape, any
    delta : float, positive
    sample_weight : (n,) or None
        A weight for each entry of the first axis; see `mse`.

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dprediction

    References
    ----------
    P. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> loss, pullback = F.huber(np.asarray([0.5, 100.0]), np.zeros(2), delta=1.0)
    >>> float(loss), pullback()
    (49.8125, array([0.25, 0.5 ]))
    """
    if not delta > 0:
        raise ValueError(f"huber: delta must be positive, not {delta}")
    weight, divisor = _check_pair("huber", "prediction", prediction, "target", target, sample_weight)
    xp = namespace(prediction)
    error = prediction - target
    clipped = clamp(xp, error, -delta, delta)
    loss = total(xp.sum(weight * (clipped * (error - 0.5 * clipped)))) / divisor

    def pullback(dloss: Array | float = 1.0) -> Array:
        return clipped * (weight * (dloss / divisor))

    return loss, pullback


def l2_penalty(weight: ArrayObject, strength: float) -> tuple[Array, Pullback]:
    """Quadratic penalty on a weight: loss = (strength / 2) Σ weight², so dweight = dloss strength weight.

    Parameters
    ----------
    weight : any shape
    strength : float, non-negative

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> dweight

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> loss, pullback = F.l2_penalty(np.asarray([1.0, -3.0]), 0.1)
    >>> float(loss), pullback().round(3)
    (0.5, array([ 0.1, -0.3]))
    """
    check_floating("l2_penalty", weight=weight)
    if not strength >= 0:
        raise ValueError(f"l2_penalty: strength must not be negative, not {strength}")
    loss = 0.5 * strength * namespace(weight).sum(weight * weight)

    def pullback(dloss: Array | float = 1.0) -> Array:
        return weight * (dloss * strength)

    return loss, pullback


# NumPy's sums and means are numbers, which have less than an `ArrayObject`: any may be given.
def sum_losses(*losses: Array) -> tuple[Array, Pullback]:
    """Sum of losses, or a single loss itself; each gets the gradient of the sum.

    Parameters
    ----------
    *losses : arrays without axes, one or more

    Returns
    -------
    loss : ()
    pullback : (dloss=1.0) -> tuple with dloss for each loss

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F
    >>> loss, pullback = F.sum_losses(np.asarray(1.5), np.asarray(0.25))
    >>> float(loss), pullback()
    (1.75, (1.0, 1.0))
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


def _distribution(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Return the labels as distributions (n, c) in the type of the logits, and whether each is one of the classes."""
    xp = namespace(logits)
    if labels.ndim == 2:
        return labels, xp.ones((), dtype=xp.bool, device=logits.device)
    # In int64, since a narrower type of labels might not hold all the classes.
    index = xp.arange(logits.shape[1], dtype=xp.int64, device=logits.device)
    is_label = xp.astype(labels, xp.int64)[:, None] == index[None, :]
    return xp.astype(is_label, logits.dtype), xp.all(xp.any(is_label, axis=1))


def _check_classification(
    logits: Array,
    labels: Array,
    label_smoothing: float,
    class_weight: Array | None,
    sample_weight: Array | None,
) -> None:
    name = "softmax_cross_entropy"
    check_floating(name, logits=logits, class_weight=class_weight, sample_weight=sample_weight)
    check_axes(name, "logits", logits, "n, classes")
    xp = check_array(name, "labels", labels)
    if xp is not namespace(logits):
        raise TypeError(f"{name}: labels are of {xp.__name__}, logits of {namespace(logits).__name__}")
    rows, classes = logits.shape
    if labels.shape == logits.shape or (labels.ndim == 2 and xp.isdtype(labels.dtype, "real floating")):
        check_floating(name, logits=logits, labels=labels)
        check_shape(name, "labels", labels, (rows, classes), "a distribution for each row of logits")
    else:
        if not xp.isdtype(labels.dtype, "integral"):
            raise TypeError(
                f"{name}: labels must be integers (class indices), not {labels.dtype}; convert them to int64"
            )
        check_shape(name, "labels", labels, (rows,), "one for each row of logits")
    check_shape(name, "class_weight", class_weight, (classes,), "one for each class")
    check_shape(name, "sample_weight", sample_weight, (rows,), "one for each row of logits")
    _checks.fraction(f"{name}: label_smoothing", label_smoothing)
    _check_not_empty(name, logits)


def _check_pair(
    function: str, first: str, a: Array, second: str, b: Array, sample_weight: Array | None
) -> tuple[Array | float, Array | int]:
    """Check two arrays of one dtype and shape; return a weight for each number, and what weights of all add up to."""
    check_floating(function, **{first: a, second: b}, sample_weight=sample_weight)
    # Broadcast, n targets and n predictions of one number would make n² errors.
    advice = f"; give {second}[..., None]" if a.shape == (*b.shape, 1) else ""
    check_shape(function, second, b, a.shape, f"that of {first}{advice}")
    _check_not_empty(function, a)
    each = math.prod(a.shape[1:])
    if sample_weight is None:
        return 1.0, batch_length(a.shape[0] if a.ndim else 1) * each
    check_shape(function, "sample_weight", sample_weight, a.shape[:1], f"one for each entry of {first}")
    xp = namespace(a)
    weight = xp.reshape(sample_weight, (*sample_weight.shape, *(1 for _ in a.shape[1:])))
    return weight, total(xp.sum(sample_weight)) * each


def _check_not_empty(function: str, x: Array) -> None:
    if math.prod(x.shape) == 0 and batch_length(0) == 0:
        raise ValueError(f"{function}: the mean over an empty batch is undefined (shape {tuple(x.shape)})")
