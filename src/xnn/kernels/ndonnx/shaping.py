"""Twins of what moves and joins numbers; the batch has any length."""

from collections.abc import Sequence

import ndonnx
import numpy as np

from xnn._typing import Array, Pullback
from xnn.kernels.ndonnx.layout import channels_first, channels_last, is_known, no_pullback
from xnn.kernels.ndonnx.operators import op


def flatten(x: Array) -> tuple[Array, Pullback]:
    """Flatten; see `xnn.functional.flatten`."""
    return ndonnx.asarray(op.flatten(x.unwrap_spox())), no_pullback


def reshape(x: Array, shape: Sequence[int | None]) -> tuple[Array, Pullback]:
    """Reshape; see `xnn.functional.reshape`. A length of None is that of the batch, which only the graph knows."""
    lengths = np.asarray([-1 if length is None else length for length in shape], np.int64)
    return ndonnx.asarray(op.reshape(x.unwrap_spox(), op.const(lengths))), no_pullback


def add(a: Array, b: Array) -> tuple[Array, Pullback]:
    """Add; see `xnn.functional.add`."""
    if a.shape == b.shape and (is_known(a) or is_known(b)):
        return channels_last(op.add(channels_first(a), channels_first(b))), no_pullback
    return a + b, no_pullback


def concatenate(arrays: Sequence[Array], axis: int = -1) -> tuple[Array, Pullback]:
    """Concat; see `xnn.functional.concatenate`."""
    axes = arrays[0].ndim
    if axis % axes == axes - 1 and axes > 2 and any(map(is_known, arrays)):
        return channels_last(op.concat([channels_first(array) for array in arrays], axis=1)), no_pullback
    return ndonnx.asarray(op.concat([array.unwrap_spox() for array in arrays], axis=axis)), no_pullback
