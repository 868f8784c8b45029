"""The affine layer."""

import math

from xnn import _checks
from xnn._typing import Shape
from xnn.nn.initializers import Initializer, kaiming_normal, zeros
from xnn.nn.layer import Layer


class Linear(Layer):
    """Affine map of the last axis: (..., n) -> (..., features); see `xnn.functional.linear`.

    Parameters
    ----------
    features : int
        Outputs.
    bias : bool
    weight_initializer, bias_initializer : callable
        See `xnn.nn.initializers`.

    Examples
    --------
    >>> from xnn import nn
    >>> layer = nn.Linear(2, weight_initializer=nn.initializers.ones).build((3,), backend="numpy")
    >>> layer.parameters
    Views({'weight': (3, 2), 'bias': (2,)})
    >>> layer.predict([[1.0, 2.0, 3.0]])
    array([[6., 6.]], dtype=float32)
    """

    function = "linear"
    weights = ("weight", "bias")
    arithmetic = "low"

    def __init__(
        self,
        features: int,
        *,
        bias: bool = True,
        weight_initializer: Initializer = kaiming_normal,
        bias_initializer: Initializer = zeros,
    ) -> None:
        self.features = _checks.count("Linear: features", features, 1)
        self._bias = _checks.flag("Linear: bias", bias)
        self.weight_initializer = weight_initializer
        self.bias_initializer = bias_initializer

    def initialize(self, shape: Shape) -> Shape:
        """Declare weight (n, features) and bias (features,)."""
        if not shape:
            raise ValueError("Linear: the input must have at least one axis besides the batch")
        self.weight = self.parameter("weight", (shape[-1], self.features), self.weight_initializer)
        self.bias = self.parameter("bias", (self.features,), self.bias_initializer, decay=False) if self._bias else None
        return (*shape[:-1], self.features)

    def flops(self) -> int:
        """2 n m for each position."""
        return 2 * math.prod(self.output_shape) * self.input_shape[-1]
