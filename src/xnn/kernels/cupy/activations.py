"""Twins of `xnn.functional.activations`: one launch for y, and one for dx, which computes f' again from x or y.

Keeping f' instead would cost as much memory, and a pass to write it even if nobody asks for a gradient. Where y will
do, it is kept rather than x: most often the next layer keeps y anyway.

Numbers are float32 in between, whatever their type in memory, so a model in float16 need not cast x.
"""

import cupy

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.kernels.cupy.elementwise import linear_pullback, spread_packs
from xnn.kernels.cupy.launching import FLOATS, Kernel, ready

_PLAIN = ("Relu", "Gelu", "GeluByTanh", "Silu", "Sigmoid", "Tanh", "Softplus")
_PARAMETRIC = ("LeakyRelu", "Elu")
_FORWARD = Kernel("activations", "forward", _PLAIN, FLOATS)
_PULLBACK = Kernel("activations", "pullback", _PLAIN, FLOATS)
_FORWARD_WITH = Kernel("activations", "forward_with", _PARAMETRIC, FLOATS)
_PULLBACK_WITH = Kernel("activations", "pullback_with", _PARAMETRIC, FLOATS)


def relu(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.relu`."""
    z = ready(x)
    return F.relu(x) if z is None else _from_y("Relu", z)


def leaky_relu(x: Array, slope: float = 0.01) -> tuple[Array, Pullback]:
    """As `xnn.functional.leaky_relu`."""
    z = ready(x)
    return F.leaky_relu(x, slope) if z is None else _from_x("LeakyRelu", z, float(slope))


def elu(x: Array, alpha: float = 1.0) -> tuple[Array, Pullback]:
    """As `xnn.functional.elu`."""
    z = ready(x)
    return F.elu(x, alpha) if z is None else _from_x("Elu", z, float(alpha))


def sigmoid(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.sigmoid`."""
    z = ready(x)
    return F.sigmoid(x) if z is None else _from_y("Sigmoid", z)


def tanh(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.tanh`."""
    z = ready(x)
    return F.tanh(x) if z is None else _from_y("Tanh", z)


def softplus(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.softplus`."""
    z = ready(x)
    return F.softplus(x) if z is None else _from_x("Softplus", z)


def silu(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.silu`."""
    z = ready(x)
    return F.silu(x) if z is None else _from_x("Silu", z)


def gelu(x: Array, approximate: str = "none") -> tuple[Array, Pullback]:
    """As `xnn.functional.gelu`."""
    z = ready(x)
    if z is None or approximate not in ("none", "tanh"):
        return F.gelu(x, approximate)
    return _from_x("Gelu" if approximate == "none" else "GeluByTanh", z)


def _from_x(function: str, x: Array, *parameter: float) -> tuple[Array, Pullback]:
    """Return (y, pullback), computing f' from x."""
    return _applied(function, x, *parameter), _pullback(function, x, *parameter)


def _from_y(function: str, x: Array) -> tuple[Array, Pullback]:
    """Return (y, pullback), computing f' from y."""
    y = _applied(function, x)
    return y, _pullback(function, y)


def _applied(function: str, x: Array, *parameter: float) -> Array:
    y = cupy.empty(x.shape, x.dtype)
    kernel = _FORWARD_WITH if parameter else _FORWARD
    kernel.launch((function, x.dtype.char), *spread_packs(x), (x,), (y,), (x.size, *parameter))
    return y


def _pullback(function: str, kept: Array, *parameter: float) -> Pullback:
    kernel = _PULLBACK_WITH if parameter else _PULLBACK

    def pull(dy: Array) -> Array:
        dx = cupy.empty(dy.shape, dy.dtype)
        kernel.launch((function, dy.dtype.char), *spread_packs(dy), (kept, dy), (dx,), (dy.size, *parameter))
        return dx

    return linear_pullback(pull, kept)
