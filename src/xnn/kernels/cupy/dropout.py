"""The twin of dropout: one launch each way, and nothing kept but the keys of the draw."""

import math

import cupy
import numpy as np

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.functional.replicas import current
from xnn.kernels.cupy.elementwise import linear_pullback, spread_packs
from xnn.kernels.cupy.launching import FLOATS, Kernel, is_number, is_plain
from xnn.random import Random

_DROPOUT = Kernel("dropout", "dropout", FLOATS)


def dropout(x: Array, rate: float, random: Random) -> tuple[Array, Pullback]:
    """As `xnn.functional.dropout`, with the same mask."""
    suits = is_plain(x) and is_number(rate) and 0.0 <= rate < 1.0 and random.backend.library == "cupy"
    # Of several replicas, each draws the numbers of its own images.
    if not suits or current() is not None:
        return F.dropout(x, rate, random)
    # The least 24-bit word w with float32(w 2**-24) >= rate, compared as `Random.uniform`'s numbers are. Words of 24
    # bits are exact in float32, and so is their product with 2**24.
    least = math.ceil(float(np.float32(rate)) * 2.0**24)
    numbers = (x.size, *random.next_keys().tolist(), least, 1.0 / (1.0 - rate))

    def apply(values: Array) -> Array:
        result = cupy.empty(values.shape, values.dtype)
        _DROPOUT.launch((values.dtype.char,), *spread_packs(values), (values,), (result,), numbers)
        return result

    return apply(x), linear_pullback(apply, x)
