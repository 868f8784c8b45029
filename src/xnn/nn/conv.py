"""The convolutional layer."""

import math
from collections.abc import Sequence

from xnn import _checks
from xnn._typing import Shape
from xnn.functional.windows import Padding, pair, windows
from xnn.nn.initializers import Initializer, kaiming_normal, zeros
from xnn.nn.layer import Layer


class Conv2d(Layer):
    """Two-dimensional convolution of images (h, w, c) -> (p, q, channels); see `xnn.functional.conv2d`.

    Parameters
    ----------
    channels : int
        Outputs.
    kernel : int or pair
    stride, padding, dilation, groups :
        As in `xnn.functional.conv2d`; padding may be ``"same"`` or ``"valid"``.
    bias : bool
    weight_initializer, bias_initializer : callable
        See `xnn.nn.initializers`.
    trainable : bool
        False keeps weight and bias at their initial values, as `Layer.freeze` does.

    Examples
    --------
    >>> from xnn import nn
    >>> layer = nn.Conv2d(16, 3, stride=2, padding="same").build((32, 32, 3), backend="numpy")
    >>> layer.output_shape
    (16, 16, 16)
    >>> layer.parameters
    Views({'weight': (3, 3, 3, 16), 'bias': (16,)})
    """

    function = "conv2d"
    weights = ("weight", "bias")
    arguments = ("stride", "padding", "dilation", "groups")
    arithmetic = "low"

    def __init__(
        self,
        channels: int,
        kernel: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: Padding = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        weight_initializer: Initializer = kaiming_normal,
        bias_initializer: Initializer = zeros,
        trainable: bool = True,
    ) -> None:
        self.channels = _checks.count("Conv2d: channels", channels, 1)
        self.kernel = pair("Conv2d", "kernel", kernel)
        self.stride = pair("Conv2d", "stride", stride)
        self.padding = padding
        self.dilation = pair("Conv2d", "dilation", dilation)
        self.groups = _checks.count("Conv2d: groups", groups, 1)
        self._bias = _checks.flag("Conv2d: bias", bias)
        self.weight_initializer = weight_initializer
        self.bias_initializer = bias_initializer
        self._trainable = _checks.flag("Conv2d: trainable", trainable)

    def initialize(self, shape: Shape) -> Shape:
        """Declare weight (kh, kw, c / groups, channels) and bias (channels,)."""
        height, width, inputs = image_shape("Conv2d", shape)
        if inputs % self.groups or self.channels % self.groups:
            raise ValueError(
                f"Conv2d: groups={self.groups} must divide the {inputs} input and {self.channels} output channels"
            )
        geometry = windows("Conv2d", (height, width), self.kernel, self.stride, self.padding, self.dilation)
        weight_shape = (*self.kernel, inputs // self.groups, self.channels)
        self.weight = self.parameter("weight", weight_shape, self.weight_initializer)
        self.bias = self.parameter("bias", (self.channels,), self.bias_initializer, decay=False) if self._bias else None
        for parameter in self._parameters.values():
            parameter.trainable = self._trainable
        return (*geometry.output, self.channels)

    def flops(self) -> int:
        """2 kh kw c / groups for each output number."""
        return 2 * math.prod(self.output_shape) * math.prod(self.weight.shape[:3])


def image_shape(layer: str, shape: Shape) -> tuple[int, int, int]:
    """Return (h, w, c), or raise ValueError for inputs that are not images."""
    if len(shape) != 3:
        raise ValueError(f"{layer}: the input must be images (h, w, c), not arrays of shape {shape}")
    return shape
