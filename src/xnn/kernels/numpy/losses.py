"""The twin of softmax cross-entropy: loss and gradient, a block of rows at a time."""

import math
from typing import Any

import numpy as np
from numba import types

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.functional.replicas import batch_length, current, total
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.exponential import exp
from xnn.kernels.numpy.memory import empty

_F = types.float32
_BLOCK = 2**16
"""Numbers in a block of rows, which stays in the cache between the passes over it."""


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    label_smoothing: float = 0.0,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
) -> tuple[Array, Pullback]:
    """As `xnn.functional.softmax_cross_entropy`, for labels that are classes; it leaves weights to the reference."""
    # As for batch norm, all replicas decide alike, with any number of images.
    among_others = current() is not None
    plain = logits.dtype == np.float32 and (among_others or logits.flags.c_contiguous) and labels.dtype.kind in "iu"
    fits = logits.ndim == 2 and labels.shape == logits.shape[:1] and min(batch_length(len(labels)), logits.shape[1]) > 0
    weighted = class_weight is not None or sample_weight is not None
    if weighted or not (plain and fits and 0.0 <= label_smoothing < 1.0):
        return F.softmax_cross_entropy(logits, labels, label_smoothing, class_weight, sample_weight)
    logits = np.ascontiguousarray(logits)
    gradient, summed = empty(logits.shape), 0.0
    rows, classes = logits.shape
    length, step = batch_length(rows), max(_BLOCK // classes, 1)
    for first in range(0, rows, step):
        block = slice(first, first + step)
        summed += _cross_entropy(logits[block], labels[block], label_smoothing, 1.0 / length, gradient[block])
    loss = np.asarray(total(np.asarray(summed)) / length, dtype=np.float32)

    def pullback(dloss: Array | float = 1.0) -> Array:
        return gradient * np.float32(dloss)

    return loss, pullback


@compiled
def _cross_entropy(logits: Any, labels: Any, smoothing: float, share: float, gradient: Any) -> float:
    """Write the gradient of the sum times `share`, and return the sum: NaN if a label is not one of the classes."""
    rows, classes = logits.shape
    total = 0.0
    for i in range(rows):
        row, shifted = logits[i], gradient[i]
        largest = row[0]
        for j in range(1, classes):
            largest = row[j] if row[j] > largest else largest
        for j in range(classes):
            shifted[j] = row[j] - largest
        label = np.int64(labels[i])
        total -= (1.0 - smoothing) * shifted[label] if 0 <= label < classes else math.nan
        if smoothing > 0.0:
            for j in range(classes):
                total -= smoothing / classes * shifted[j]
    # Compute the exponentials of all rows at once, since a row may be shorter than a register.
    flat = gradient.reshape(-1)
    for k in range(flat.size):
        power = exp(flat[k])
        # NaN stays NaN.
        flat[k] = power if flat[k] <= _F(0.0) else flat[k]
    for i in range(rows):
        row, scale = gradient[i], 0.0
        for j in range(classes):
            scale += row[j]
        total += math.log(scale)
        factor, uniform = _F(share / scale), _F(share * smoothing / classes)
        for j in range(classes):
            row[j] = row[j] * factor - uniform
        label = np.int64(labels[i])
        if 0 <= label < classes:
            row[label] -= _F(share * (1.0 - smoothing))
    return total
