"""The twin of convolution."""

from collections.abc import Sequence

from xnn._typing import Array, Pullback
from xnn.functional.windows import Padding, windows
from xnn.kernels.ndonnx.layout import channels_first, channels_last, no_pullback, transposed
from xnn.kernels.ndonnx.operators import op


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[Array, Pullback]:
    """Conv; see `xnn.functional.conv2d`."""
    geometry = windows("conv2d", x.shape[1:3], weight.shape[:2], stride, padding, dilation)
    y = op.conv(
        channels_first(x),
        transposed(weight, (3, 2, 0, 1)),
        None if bias is None else bias.unwrap_spox(),
        kernel_shape=geometry.kernel,
        pads=geometry.before + geometry.after,
        strides=geometry.stride,
        dilations=geometry.dilation,
        group=groups,
    )
    return channels_last(y), no_pullback
