"""Normalization layers."""

import math

from xnn._typing import Array, Pullback, Shape
from xnn.nn.initializers import ones, zeros
from xnn.nn.layer import Layer
from xnn.nn.parameters import Parameter


class _Norm(Layer):
    def __init__(self, eps: float, scale: bool, shift: bool) -> None:
        if not eps > 0:
            raise ValueError(f"{type(self).__name__}: eps must be positive, not {eps}")
        self.eps = eps
        self.scale = scale
        self.shift = shift

    def initialize(self, shape: Shape) -> Shape:
        """Declare weight and bias (c,), neither decayed."""
        if not shape:
            raise ValueError(f"{type(self).__name__}: the input must have at least one axis besides the batch")
        self.weight = self.parameter("weight", shape[-1:], ones, decay=False) if self.scale else None
        self.bias = self.parameter("bias", shape[-1:], zeros, decay=False) if self.shift else None
        return shape


class BatchNorm(_Norm):
    """Batch normalization of the last axis (channels); see `xnn.functional.batch_norm`.

    In training it uses the batch's mean and variance and moves running averages towards them,
    ``running += momentum * (batch - running)``, with the unbiased variance; in inference it uses the running ones.

    Parameters
    ----------
    momentum : float in (0, 1]
        Weight of the newest batch.
    eps : float
    scale, shift : bool
        Whether there is a weight γ, a bias β.
    """

    def __init__(self, momentum: float = 0.1, eps: float = 1e-5, scale: bool = True, shift: bool = True) -> None:
        super().__init__(eps, scale, shift)
        if not 0.0 < momentum <= 1.0:
            raise ValueError(f"BatchNorm: momentum must be in (0, 1], not {momentum}")
        self.momentum = momentum

    def initialize(self, shape: Shape) -> Shape:
        """Declare weight and bias (c,), and the running mean and variance (c,)."""
        output = super().initialize(shape)
        self.running_mean = self.buffer("running_mean", shape[-1:], zeros)
        self.running_variance = self.buffer("running_variance", shape[-1:], ones)
        return output

    def forward(self, x: Array, train: bool = False, activation: str | None = None) -> tuple[Array, Pullback]:
        """Return (y, pullback); in training, also update the running statistics.

        `activation` is the name of one that follows at once, see `xnn.functional.batch_norm`.
        """
        weight, bias = _value(self.weight), _value(self.bias)
        if train:
            mean, variance = self.functions.batch_norm_statistics(x)
            self._update(mean, variance, math.prod(x.shape[:-1]))
            result = self.functions.batch_norm(x, weight, bias, self.eps, (mean, variance), activation)
        else:
            mean, variance = self.running_mean.value, self.running_variance.value
            result = self.functions.batch_norm_inference(x, weight, bias, mean, variance, self.eps, activation)
        return self.connect(result, self.weight, self.bias)

    def _update(self, mean: Array, variance: Array, count: int) -> None:
        running_mean, running_variance = self.running_mean.value, self.running_variance.value
        # A batch of one number a channel has no unbiased variance; its biased one, 0, stands in.
        unbiased = variance * (count / max(count - 1, 1))
        running_mean += self.momentum * (mean - running_mean)
        running_variance += self.momentum * (unbiased - running_variance)


class LayerNorm(_Norm):
    """Layer normalization of the last axis; see `xnn.functional.layer_norm`.

    Parameters
    ----------
    eps : float
    scale, shift : bool
        Whether there is a weight γ, a bias β.
    """

    def __init__(self, eps: float = 1e-5, scale: bool = True, shift: bool = True) -> None:
        super().__init__(eps, scale, shift)

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        result = self.functions.layer_norm(x, _value(self.weight), _value(self.bias), self.eps)
        return self.connect(result, self.weight, self.bias)


def _value(parameter: Parameter | None) -> Array | None:
    return None if parameter is None else parameter.value
