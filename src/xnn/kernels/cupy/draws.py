"""A draw of `xnn.random.Random` in one pass."""

import cupy
import numpy as np

from xnn._typing import Array, Shape
from xnn.kernels.cupy.launching import Kernel, spread

_TYPES = {"float32": "float", "float64": "double"}
_UNIFORM = Kernel("draws", "uniform", tuple(_TYPES.values()))
_INTEGERS = Kernel("draws", "integers")


def uniform(keys: tuple[int, int], shape: Shape, dtype: str) -> Array:
    """Return what `Random.uniform` returns for a draw with these keys."""
    u = cupy.empty(shape, dtype)
    if u.size:
        _UNIFORM.launch((_TYPES[dtype],), *spread(u.size), (), (u,), (u.size, *keys))
    return u


def integers(keys: tuple[int, int], shape: Shape, low: int, high: int) -> Array:
    """Return what `Random.integers` returns for a draw with these keys."""
    n = cupy.empty(shape, np.int64)
    if n.size:
        _INTEGERS.launch((), *spread(n.size), (), (n,), (n.size, *keys, low, high - low))
    return n
