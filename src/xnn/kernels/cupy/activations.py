"""Twins of `xnn.functional.activations`: one launch for y, and one for dx, which computes f' again from x or y.

Keeping f' instead would cost as much memory, and a pass to write it even if nobody asks for a gradient. Where y will
do, it is kept rather than x: most often the next layer keeps y anyway. In float16 it will not do where f is nearly
constant, as the slopes of sigmoid and tanh would be those of a rounded y.

Numbers are float32 in between, whatever their type in memory, so a model in float16 need not cast x.
"""

import itertools

import cupy

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.kernels.cupy.elementwise import linear_pullback, spread_packs
from xnn.kernels.cupy.launching import FLOATS, Kernel, is_number, ready

_PLAIN = ("Relu", "Gelu", "GeluByTanh", "Silu", "Softplus")
_PARAMETRIC = ("LeakyRelu", "Elu")
_SATURATING = [("Sigmoid", "f"), ("SigmoidFromX", "e"), ("Tanh", "f"), ("TanhFromX", "e")]
_FORWARD = Kernel("activations", "forward", (*_PLAIN, "Sigmoid", "Tanh"), FLOATS)
_PULLBACK = Kernel("activations", "pullback", [*itertools.product(_PLAIN, FLOATS), *_SATURATING])
_FORWARD_WITH = Kernel("activations", "forward_with", _PARAMETRIC, FLOATS)
_PULLBACK_WITH = Kernel("activations", "pullback_with", _PARAMETRIC, FLOATS)


def relu(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.relu`."""
    z = ready(x)
    return F.relu(x) if z is None else _from_y("Relu", z)


def leaky_relu(x: Array, slope: float = 0.01) -> tuple[Array, Pullback]:
    """As `xnn.functional.leaky_relu`."""
    z = ready(x)
    return F.leaky_relu(x, slope) if z is None or not is_number(slope) else _from_x("LeakyRelu", z, float(slope))


def elu(x: Array, alpha: float = 1.0) -> tuple[Array, Pullback]:
    """As `xnn.functional.elu`."""
    z = ready(x)
    return F.elu(x, alpha) if z is None or not is_number(alpha) else _from_x("Elu", z, float(alpha))


def sigmoid(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.sigmoid`."""
    z = ready(x)
    return F.sigmoid(x) if z is None else _saturating("Sigmoid", z)


def tanh(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.tanh`."""
    z = ready(x)
    return F.tanh(x) if z is None else _saturating("Tanh", z)


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


def _saturating(function: str, x: Array) -> tuple[Array, Pullback]:
    """Return (y, pullback), computing f' from y if that has digits enough, else from x."""
    y = _applied(function, x)
    return y, _pullback(function, y) if x.dtype.char == "f" else _pullback(f"{function}FromX", x)


def _applied(function: str, x: Array, *parameter: float) -> Array:
    y = cupy.empty(x.shape, x.dtype)
    kernel = _FORWARD_WITH if parameter else _FORWARD
    kernel.launch((function, x.dtype.char), *spread_packs(x), (x,), (y,), (x.size, *parameter))
    return y


def _pullback(function: str, kept: Array, *parameter: float) -> Pullback:
    return linear_pullback(lambda dy: pull(function, kept, dy, *parameter), kept)


def pull(function: str, kept: Array, dy: Array, *parameter: float) -> Array:
    """Return dx = f'(x) dy for a function of `activations.cu`.

    Parameters
    ----------
    function : str
    kept : float16 or float32
        x, or y for functions whose slope it tells.
    dy : of kept's type and size, contiguous
    *parameter : float
        The function's, if it has one.
    """
    dx = cupy.empty(kept.shape, kept.dtype)
    kernel = _PULLBACK_WITH if parameter else _PULLBACK
    kernel.launch((function, kept.dtype.char), *spread_packs(kept), (kept, dy), (dx,), (kept.size, *parameter))
    return dx
