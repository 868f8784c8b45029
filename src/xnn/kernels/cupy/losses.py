"""The twin of softmax cross-entropy: loss and gradient in one launch, and at most one to scale the gradient."""

import cupy
import numpy as np

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.functional.replicas import current
from xnn.kernels.cupy.elementwise import spread_packs
from xnn.kernels.cupy.launching import FLOATS, Kernel, counters, is_number, is_plain

_LABELS = {"u1": "B", "i4": "i", "i8": "q", "f2": "e", "f4": "f"}
_CROSS_ENTROPY = Kernel("losses", "cross_entropy", FLOATS, tuple(_LABELS.values()))
_SCALED = Kernel("losses", "scaled", [("e", "e"), ("e", "f"), ("f", "f")])

_FEW_CLASSES = 256
"""Up to so many, a warp takes a row; of more, a block."""
_MOST_BLOCKS = 1024


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    label_smoothing: float = 0.0,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
) -> tuple[Array, Pullback]:
    """As `xnn.functional.softmax_cross_entropy`."""
    # The sums of several replicas are those of all.
    if current() is not None or not _is_covered(logits, labels, label_smoothing, class_weight, sample_weight):
        return F.softmax_cross_entropy(logits, labels, label_smoothing, class_weight, sample_weight)
    if labels.dtype.str[1:] not in _LABELS:
        labels = labels.astype(np.int64)
    total_weight = None if class_weight is None and sample_weight is None else cupy.empty((), np.float32)
    # The gradient for dloss = 1, but for a factor if Z is known only at the end, or if numbers divided by Z may be too
    # small for float16.
    is_final = total_weight is None and logits.dtype == np.float32
    share = 1.0 / len(logits)
    weights = class_weight, sample_weight, total_weight

    def compute() -> tuple[Array, Array]:
        return _cross_entropy(logits, labels, weights, float(label_smoothing), share if is_final else 1.0)

    loss, gradient = compute()
    held = [gradient]
    del gradient

    def pullback(dloss: Array | float = 1.0) -> Array:
        on_device = isinstance(dloss, cupy.ndarray) and dloss.shape == () and dloss.dtype == np.float32
        if not on_device and type(dloss) not in (int, float):
            return pullback() * dloss
        # What has been handed out may have been changed.
        gradient = held.pop() if held else compute()[1]
        if is_final and not on_device and dloss == 1.0:
            return gradient
        held.append(gradient)
        factor = 1.0 if is_final or total_weight is not None else share
        if on_device:
            return _scaled(gradient, factor, dloss, total_weight)
        return _scaled(gradient, factor * float(dloss), None, total_weight)

    return loss, pullback


def _cross_entropy(
    logits: Array, labels: Array, weights: tuple[Array | None, ...], smoothing: float, share: float
) -> tuple[Array, Array]:
    """Return the loss, and its gradient times Z `share`; the last of the weights gets Z, if it is not the rows."""
    class_weight, sample_weight, total_weight = weights
    rows, classes = logits.shape
    block = (32, 8) if classes <= _FEW_CLASSES else (256, 1)
    blocks = min(-(-rows // block[1]), _MOST_BLOCKS)
    gradient, loss = cupy.empty(logits.shape, logits.dtype), cupy.empty((), logits.dtype)
    sums = cupy.empty((blocks, 2), np.float32)
    _CROSS_ENTROPY.launch(
        (logits.dtype.char, _LABELS[labels.dtype.str[1:]]),
        (blocks,),
        block,
        (logits, labels, class_weight, sample_weight),
        (gradient, loss, total_weight, sums, counters()),
        (rows, classes, smoothing, share),
        # Later passes over a row find it in the cache; of the counters, one is used.
        moved=sum(a.nbytes for a in (logits, labels, *weights, gradient, loss, sums) if a is not None),
    )
    return loss, gradient


def _scaled(gradient: Array, factor: float, dloss: Array | None, total_weight: Array | None) -> Array:
    """Return ``gradient * factor * dloss / total_weight``, where None is 1."""
    result = cupy.empty(gradient.shape, gradient.dtype if dloss is None else dloss.dtype)
    parameters = gradient.dtype.char, result.dtype.char
    _SCALED.launch(
        parameters, *spread_packs(result), (gradient, dloss, total_weight), (result,), (gradient.size, factor)
    )
    return result


def _is_covered(
    logits: Array, labels: Array, smoothing: float, class_weight: Array | None, sample_weight: Array | None
) -> bool:
    if not is_plain(logits, class_weight, sample_weight) or logits.ndim != 2:
        return False
    if not is_number(smoothing) or not 0.0 <= smoothing < 1.0:
        return False
    shape = logits.shape
    if class_weight is not None and class_weight.shape != shape[1:]:
        return False
    if sample_weight is not None and sample_weight.shape != shape[:1]:
        return False
    if not isinstance(labels, cupy.ndarray) or not labels.flags.c_contiguous:
        return False
    if labels.dtype.kind in "iu":
        return bool(labels.shape == shape[:1])
    return bool(labels.dtype == logits.dtype and labels.shape == shape)
