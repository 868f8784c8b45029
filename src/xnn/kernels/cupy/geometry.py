"""Geometries as the kernels take them, and whether they can."""

import functools
import math
from typing import Any

import numpy as np

from xnn.functional.windows import Windows
from xnn.kernels.cupy.launching import INT_MAX

_GEOMETRY = np.dtype([("numbers", np.int32, 14)])


@functools.lru_cache(4096)
def as_argument(windows: Windows, groups: int, channels: int) -> Any:
    """Return a geometry with so many channels in each group as the `Geometry` of `geometry.cuh`, one argument."""
    pairs = windows.size, windows.output, windows.kernel, windows.stride, windows.dilation, windows.before
    return np.array([([*(each for pair in pairs for each in pair), groups, channels],)], _GEOMETRY)[0]


def most_images(windows: Windows, row: int) -> int:
    """Return how many images a kernel can take at once if it has so many threads to a pixel, counting in 32 bits."""
    # No place that a tap sees is beyond the padding; the others say nothing where there is one window or one tap.
    if max(*windows.padded, *windows.stride, *windows.dilation) > INT_MAX:
        return 0
    return INT_MAX // max(math.prod(windows.size), math.prod(windows.output), row)
