"""Twins of pooling."""

from collections.abc import Sequence
from typing import Any

import ndonnx

from xnn._typing import Array, Pullback
from xnn.functional.pooling import pooling_windows
from xnn.functional.windows import Padding
from xnn.kernels.ndonnx.layout import channels_first, channels_last, no_pullback
from xnn.kernels.ndonnx.operators import op


def max_pool2d(
    x: Array, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> tuple[Array, Pullback]:
    """MaxPool; see `xnn.functional.max_pool2d`."""
    y, _ = op.max_pool(channels_first(x), **_geometry("max_pool2d", x, window, stride, padding))
    return channels_last(y), no_pullback


def avg_pool2d(
    x: Array, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> tuple[Array, Pullback]:
    """AveragePool, whose means include the padding; see `xnn.functional.avg_pool2d`."""
    geometry = _geometry("avg_pool2d", x, window, stride, padding)
    return channels_last(op.average_pool(channels_first(x), count_include_pad=1, **geometry)), no_pullback


def global_max_pool2d(x: Array) -> tuple[Array, Pullback]:
    """GlobalMaxPool; see `xnn.functional.global_max_pool2d`."""
    return ndonnx.asarray(op.flatten(op.global_max_pool(channels_first(x)))), no_pullback


def global_avg_pool2d(x: Array) -> tuple[Array, Pullback]:
    """GlobalAveragePool; see `xnn.functional.global_avg_pool2d`."""
    return ndonnx.asarray(op.flatten(op.global_average_pool(channels_first(x)))), no_pullback


def _geometry(
    function: str, x: Array, window: int | Sequence[int], stride: int | Sequence[int] | None, padding: Padding
) -> dict[str, Any]:
    geometry = pooling_windows(function, x.shape[1:3], window, stride, padding)
    return {
        "kernel_shape": geometry.kernel,
        "pads": geometry.before + geometry.after,
        "strides": geometry.stride,
    }
