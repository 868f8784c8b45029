"""Losses and penalties, and their sum.

A loss is not a layer of a `Sequential`: it takes the model's output and the targets, and returns a number and the
pullback with which the backward pass begins.
"""

from collections.abc import Sequence
from typing import Any

import array_api_compat

from xnn import _checks, kernels
from xnn import functional as F
from xnn._typing import Array, ArrayObject, Pullback
from xnn.nn.layer import Layer


class SoftmaxCrossEntropy:
    """Mean cross-entropy between softmax(logits) and labels; see `xnn.functional.softmax_cross_entropy`.

    Parameters
    ----------
    label_smoothing : float in [0, 1)
    class_weight : sequence of float, optional
        One for each class, at least 0. The loss is the weighted mean then: the sum of the images' losses, each times
        the weight of its class, divided by the sum of these weights.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> logits, labels = np.asarray([[2.0, 0.0], [0.0, 0.0]]), np.asarray([0, 1])
    >>> loss, pullback = nn.SoftmaxCrossEntropy().forward(logits, labels)
    >>> round(float(loss), 4)
    0.41
    >>> pullback().round(4)  # softmax(logits), less 1 at the label, divided by the number of images
    array([[-0.0596,  0.0596],
           [ 0.25  , -0.25  ]])
    """

    def __init__(self, label_smoothing: float = 0.0, *, class_weight: Sequence[float] | None = None) -> None:
        _checks.fraction("SoftmaxCrossEntropy: label_smoothing", label_smoothing)
        self.label_smoothing = label_smoothing
        self.class_weight = None if class_weight is None else _class_weight(class_weight)
        self._placed: tuple[Any, Array] | None = None

    def forward(
        self, logits: ArrayObject, labels: ArrayObject, sample_weight: ArrayObject | None = None
    ) -> tuple[Array, Pullback]:
        """Return (loss, pullback), with pullback(dloss=1.0) -> dlogits."""
        functions = kernels.functions_of(logits)
        weight = None if self.class_weight is None else self._class_weight_beside(logits)
        result: tuple[Array, Pullback] = functions.softmax_cross_entropy(
            logits, labels, self.label_smoothing, weight, sample_weight
        )
        return result

    def _class_weight_beside(self, logits: Array) -> Array:
        """Return the weights as an array of the logits' library, device and type, sent there once."""
        place = type(logits), logits.device, logits.dtype
        if self._placed is None or self._placed[0] != place:
            xp = array_api_compat.array_namespace(logits)
            self._placed = place, xp.asarray(self.class_weight, dtype=logits.dtype, device=logits.device)
        return self._placed[1]

    def __getstate__(self) -> dict[str, Any]:
        """Return what `copy.deepcopy` and `pickle` keep: nothing that is on a device."""
        return {**self.__dict__, "_placed": None}


def _class_weight(given: Sequence[float]) -> tuple[float, ...]:
    name = "SoftmaxCrossEntropy: class_weight"
    weights = tuple(float(weight) for weight in given)
    for number, weight in enumerate(weights):
        _checks.non_negative(f"{name}[{number}]", weight)
    if not any(weights):
        raise ValueError(f"{name} must have a weight above 0, not {weights}")
    return weights


class BinaryCrossEntropyWithLogits:
    """Mean cross-entropy between σ(logits) and targets in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> logits, targets = np.asarray([[0.0], [3.0]]), np.asarray([[1.0], [1.0]])
    >>> loss, pullback = nn.BinaryCrossEntropyWithLogits().forward(logits, targets)
    >>> round(float(loss), 4)
    0.3709
    >>> pullback().round(4)
    array([[-0.25  ],
           [-0.0237]])
    """

    def forward(
        self, logits: ArrayObject, targets: ArrayObject, sample_weight: ArrayObject | None = None
    ) -> tuple[Array, Pullback]:
        """Return (loss, pullback), with pullback(dloss=1.0) -> dlogits."""
        return F.binary_cross_entropy_with_logits(logits, targets, sample_weight)


class MSE:
    """Mean squared error.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> loss, pullback = nn.MSE().forward(np.asarray([[1.0], [4.0]]), np.asarray([[0.0], [2.0]]))
    >>> float(loss), pullback().tolist()
    (2.5, [[1.0], [2.0]])
    """

    def forward(
        self, prediction: ArrayObject, target: ArrayObject, sample_weight: ArrayObject | None = None
    ) -> tuple[Array, Pullback]:
        """Return (loss, pullback), with pullback(dloss=1.0) -> dprediction."""
        return F.mse(prediction, target, sample_weight)


class Huber:
    """Mean Huber loss, quadratic up to an error of `delta` and linear beyond.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> loss, pullback = nn.Huber(delta=1.0).forward(np.asarray([[0.5], [100.0]]), np.zeros((2, 1)))
    >>> float(loss), pullback().tolist()  # an outlier pulls no harder than an error of delta
    (49.8125, [[0.25], [0.5]])
    """

    def __init__(self, delta: float = 1.0) -> None:
        if not delta > 0:
            raise ValueError(f"Huber: delta must be positive, not {delta}")
        self.delta = delta

    def forward(
        self, prediction: ArrayObject, target: ArrayObject, sample_weight: ArrayObject | None = None
    ) -> tuple[Array, Pullback]:
        """Return (loss, pullback), with pullback(dloss=1.0) -> dprediction."""
        return F.huber(prediction, target, self.delta, sample_weight)


class L2Penalty:
    """Quadratic penalty (strength / 2) Σ w² over a model's decayed weights: not its biases, norms or frozen parts.

    Parameters
    ----------
    strength : float, non-negative

    Examples
    --------
    >>> from xnn import nn
    >>> model = nn.Linear(2, weight_initializer=nn.initializers.ones).build((3,), backend="numpy")
    >>> loss, pullback = nn.L2Penalty(0.1).forward(model)
    >>> round(float(loss), 4)  # 0.1 / 2 for each of six weights; the bias is not penalized
    0.3
    >>> pullback()
    >>> model.gradients["weight"]
    array([[0.1, 0.1],
           [0.1, 0.1],
           [0.1, 0.1]], dtype=float32)
    >>> model.gradients["bias"]
    array([0., 0.], dtype=float32)
    """

    def __init__(self, strength: float) -> None:
        _checks.non_negative("L2Penalty: strength", strength)
        self.strength = strength

    def forward(self, model: Layer) -> tuple[Array, Pullback]:
        """Return (loss, pullback); pullback(dloss=1.0) adds the penalty's gradient to the model's gradients.

        Call it after the model's own pullback, which overwrites them.
        """
        weights = model.parameters.flat
        # If there is nothing to penalize, an empty piece stands in: its penalty is zero, on the model's device.
        decayed = [segment.slice for segment in model.segments() if segment.decay] or [slice(0, 0)]
        terms = [F.l2_penalty(weights[piece], self.strength) for piece in decayed]
        loss, _ = F.sum_losses(*(value for value, _ in terms))

        def pullback(dloss: Array | float = 1.0) -> None:
            # Not earlier: only now are all gradients written.
            gradients = model.gradients.flat
            for piece, (_, term_pullback) in zip(decayed, terms, strict=True):
                gradients[piece] += term_pullback(dloss)

        return loss, pullback


class LossSum:
    """Sum of losses and penalties; each gets the gradient of the sum.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> loss, pullback = nn.LossSum().forward(np.asarray(1.5), np.asarray(0.25))
    >>> float(loss), pullback(2.0)
    (1.75, (2.0, 2.0))
    """

    def forward(self, *losses: Array) -> tuple[Array, Pullback]:
        """Return (loss, pullback), with pullback(dloss=1.0) -> one gradient for each loss."""
        return F.sum_losses(*losses)
