"""Pooling layers."""

from collections.abc import Sequence

from xnn._typing import Shape
from xnn.functional.pooling import pooling_windows
from xnn.functional.windows import Padding, pair
from xnn.nn.conv import image_shape
from xnn.nn.layer import Layer


class _Pool2d(Layer):
    arguments = ("window", "stride", "padding")
    arithmetic = "given"

    def __init__(
        self, window: int | Sequence[int], stride: int | Sequence[int] | None = None, *, padding: Padding = 0
    ) -> None:
        name = type(self).__name__
        self.window = pair(name, "window", window)
        self.stride = self.window if stride is None else pair(name, "stride", stride)
        self.padding = padding

    def initialize(self, shape: Shape) -> Shape:
        """Return (p, q, c)."""
        name = type(self).__name__
        height, width, channels = image_shape(name, shape)
        return (*pooling_windows(name, (height, width), self.window, self.stride, self.padding).output, channels)


class MaxPool2d(_Pool2d):
    """Largest value of each window and channel: (h, w, c) -> (p, q, c); see `xnn.functional.max_pool2d`.

    Parameters
    ----------
    window : int or pair
    stride : int, pair or None
        The window by default.
    padding : int, pair, pair of pairs, "same" or "valid"

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> images = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> nn.MaxPool2d(2).build((4, 4, 1), backend="numpy").predict(images)[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """

    function = "max_pool2d"


class AvgPool2d(_Pool2d):
    """Mean of each window and channel: (h, w, c) -> (p, q, c); see `xnn.functional.avg_pool2d`.

    Parameters
    ----------
    window : int or pair
    stride : int, pair or None
        The window by default.
    padding : int, pair, pair of pairs, "same" or "valid"

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> images = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> nn.AvgPool2d(2).build((4, 4, 1), backend="numpy").predict(images)[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """

    function = "avg_pool2d"


class GlobalMaxPool2d(Layer):
    """Largest value of each channel over all pixels: (h, w, c) -> (c,), for images of any size.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> images = np.arange(18.0).reshape(1, 3, 3, 2)
    >>> nn.GlobalMaxPool2d().build((3, 3, 2), backend="numpy").predict(images)
    array([[16., 17.]], dtype=float32)
    """

    function = "global_max_pool2d"
    arithmetic = "given"

    def initialize(self, shape: Shape) -> Shape:
        """Return (c,)."""
        return image_shape("GlobalMaxPool2d", shape)[2:]


class GlobalAvgPool2d(Layer):
    """Mean of each channel over all pixels: (h, w, c) -> (c,).

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn
    >>> images = np.arange(18.0).reshape(1, 3, 3, 2)
    >>> nn.GlobalAvgPool2d().build((3, 3, 2), backend="numpy").predict(images)
    array([[8., 9.]], dtype=float32)
    """

    function = "global_avg_pool2d"
    arithmetic = "given"

    def initialize(self, shape: Shape) -> Shape:
        """Return (c,)."""
        return image_shape("GlobalAvgPool2d", shape)[2:]
