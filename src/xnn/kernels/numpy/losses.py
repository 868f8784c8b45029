"""The twin of softmax cross-entropy: loss and gradient in one pass over the logits."""

import math
from typing import Any

import numpy as np

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.kernels.numpy.compiled import compiled


def softmax_cross_entropy(logits: Array, labels: Array, label_smoothing: float = 0.0) -> tuple[Array, Pullback]:
    """As `xnn.functional.softmax_cross_entropy`."""
    plain = (
        logits.ndim == 2
        and logits.dtype == np.float32
        and logits.flags.c_contiguous
        and logits.size > 0
        and labels.shape == logits.shape[:1]
        and labels.dtype.kind in "iu"
        and 0.0 <= label_smoothing < 1.0
    )
    if not plain:
        return F.softmax_cross_entropy(logits, labels, label_smoothing)
    gradient = np.empty_like(logits)
    loss = np.asarray(_cross_entropy(logits, labels, label_smoothing, gradient), dtype=np.float32)

    def pullback(dloss: Array | float = 1.0) -> Array:
        return gradient * np.float32(dloss)

    return loss, pullback


@compiled
def _cross_entropy(logits: Any, labels: Any, smoothing: float, gradient: Any) -> float:
    """Write the gradient of the mean, and return the mean; NaN if a label is none of the classes."""
    rows, classes = logits.shape
    total = 0.0
    for i in range(rows):
        largest = logits[i].max()
        scale = 0.0
        for j in range(classes):
            scale += math.exp(logits[i, j] - largest)
        log_scale = math.log(scale)
        for j in range(classes):
            log_probability = logits[i, j] - largest - log_scale
            gradient[i, j] = (math.exp(log_probability) - smoothing / classes) / rows
            if smoothing > 0.0:
                total -= smoothing / classes * log_probability
        label = np.int64(labels[i])
        if 0 <= label < classes:
            total -= (1.0 - smoothing) * (logits[i, label] - largest - log_scale)
            gradient[i, label] -= (1.0 - smoothing) / rows
        else:
            total = math.nan
    return total / rows  # type: ignore[no-any-return]  # a float, of arrays that are Any
