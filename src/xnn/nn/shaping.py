"""Layers that give their input another shape, and dropout."""

import math

from xnn import _checks
from xnn._typing import Array, Pullback, Shape
from xnn.nn.layer import Call, Layer


class Flatten(Layer):
    """Join all axes but the batch: (h, w, c) -> (h * w * c,).

    Examples
    --------
    >>> from xnn import nn
    >>> nn.Flatten().build((8, 8, 3), backend="numpy").output_shape
    (192,)
    """

    function = "flatten"
    arithmetic = "given"

    def initialize(self, shape: Shape) -> Shape:
        """Return (m,)."""
        return (math.prod(shape),)


class Reshape(Layer):
    """Give each image of the batch another shape.

    Parameters
    ----------
    *shape : int
        Without the batch axis, as many elements as the input's.

    Examples
    --------
    >>> from xnn import nn
    >>> nn.Reshape(2, 2).build((4,), backend="numpy").predict([[1.0, 2.0, 3.0, 4.0]])
    array([[[1., 2.],
            [3., 4.]]], dtype=float32)
    """

    function = "reshape"
    arithmetic = "given"

    def __init__(self, *shape: int) -> None:
        if len(shape) == 1 and isinstance(shape[0], tuple | list):
            raise ValueError(f"Reshape: give the lengths one by one, as in Reshape(4, 3), not {shape[0]!r}")
        self.shape = tuple([_checks.count("Reshape: each length", length, 1) for length in shape])

    def initialize(self, shape: Shape) -> Shape:
        """Return the new shape."""
        if math.prod(shape) != math.prod(self.shape):
            raise ValueError(f"Reshape: an input of shape {shape} cannot take the shape {self.shape}")
        return self.shape

    def call(self, x: Array, train: bool) -> Call:
        """Return the new shape, batch axis included."""
        return Call((), ((x.shape[0], *self.shape),))


class Dropout(Layer):
    """In training, set each number to zero with probability `rate`, and scale the others by 1 / (1 - rate).

    The masks come from the model's `random`, whose counter is the whole state. In inference x passes unchanged.

    Parameters
    ----------
    rate : float in [0, 1)

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> layer = nn.Dropout(0.5).build((1000,), backend="numpy", seed=0)
    >>> y, pullback = layer.forward(np.ones((1, 1000), np.float32), train=True)
    >>> np.unique(y)
    array([0., 2.], dtype=float32)
    >>> np.unique(layer.predict(np.ones((1, 1000))))
    array([1.], dtype=float32)
    """

    function = "dropout"
    arguments = ("rate", "random")
    arithmetic = "given"

    def __init__(self, rate: float) -> None:
        _checks.fraction("Dropout: rate", rate)
        self.rate = rate

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback); outside training, y is x itself."""
        if train and self.rate > 0.0:
            return super().forward(x, train)
        return self.connect((x, lambda dy: dy))
