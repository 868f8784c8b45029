"""Twins of `xnn.functional.activations`: one pass for y, and one for dx, which computes f' again from x or y.

Keeping f' instead would cost as much memory, and a pass to write it even if nobody asks for a gradient.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from xnn import functional as F
from xnn._typing import Array, Pullback
from xnn.kernels.numpy.compiled import compiled, inlined
from xnn.kernels.numpy.exponential import exp
from xnn.kernels.numpy.memory import empty
from xnn.kernels.numpy.threads import threads

_F = types.float32
_LEAST = 2**14
_LEAST_SIMPLE = 2**17
"""Fewest numbers that are worth waking a thread for: with exp, and without."""


def relu(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.relu`."""
    return _from_y(_relu, relu_pullback, x, _LEAST_SIMPLE) if _is_plain(x) else F.relu(x)


def gelu(x: Array, approximate: str = "none") -> tuple[Array, Pullback]:
    """As `xnn.functional.gelu`; by tanh, the reference itself.

    Φ(x) is by M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 1964, 7.1.26, whose absolute
    error is below 1e-7; that of y is below 3e-7.
    """
    if approximate != "none" or not _is_plain(x):
        return F.gelu(x, approximate)
    return _applied(_gelu, x), _pullback(_gelu_pullback, x, _LEAST)


def sigmoid(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.sigmoid`."""
    return _from_y(_sigmoid, _sigmoid_pullback, x, _LEAST) if _is_plain(x) else F.sigmoid(x)


def silu(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.silu`."""
    return (_applied(_silu, x), _pullback(_silu_pullback, x, _LEAST)) if _is_plain(x) else F.silu(x)


def tanh(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.tanh`."""
    return _from_y(_tanh, _tanh_pullback, x, _LEAST) if _is_plain(x) else F.tanh(x)


def _from_y(kernel: Callable[..., None], pullback: Callable[..., None], x: Array, least: int) -> tuple[Array, Pullback]:
    """Return (y, pullback), computing f' from y."""
    y = _applied(kernel, x, least)
    return y, _pullback(pullback, y, _LEAST_SIMPLE)


def _applied(kernel: Callable[..., None], x: Array, least: int = _LEAST) -> Array:
    y = empty(x.shape)
    threads().spread(kernel, (x, y), least)
    return y


def _pullback(kernel: Callable[..., None], kept: Array, least: int) -> Pullback:
    def pull(dy: Array) -> Array:
        dx = empty(dy.shape)
        threads().spread(kernel, (kept, dy, dx), least)
        return dx

    def pullback(dy: Array) -> Array:
        return pull(dy) if _is_plain(dy) else dy * pull(np.ones_like(kept))

    return pullback


def _is_plain(x: Array) -> bool:
    return bool(x.dtype == np.float32 and x.flags.c_contiguous)


@compiled
def _relu(x: Any, y: Any) -> None:
    for i in range(x.size):
        # In this form NaN stays NaN.
        y[i] = _F(0.0) if x[i] <= _F(0.0) else x[i]


@compiled
def relu_pullback(y: Any, dy: Any, dx: Any) -> None:
    """Write dx from y = relu(x) and dy, all (numbers,)."""
    for i in range(y.size):
        dx[i] = dy[i] if y[i] > _F(0.0) else _F(0.0)


@inlined
def normal(x: Any) -> Any:
    """Φ(x) and φ(x)."""
    z = abs(x) * _F(0.70710678118654752)
    e = exp(-z * z)
    t = _F(1.0) / (_F(1.0) + _F(0.3275911) * z)
    p = _F(1.061405429)
    p = p * t + _F(-1.453152027)
    p = p * t + _F(1.421413741)
    p = p * t + _F(-0.284496736)
    p = p * t + _F(0.254829592)
    tail = _F(0.5) * p * t * e
    return (_F(1.0) - tail if x > _F(0.0) else tail), e * _F(0.39894228040143268)


@compiled
def _gelu(x: Any, y: Any) -> None:
    for i in range(x.size):
        cdf, _ = normal(x[i])
        y[i] = x[i] * cdf


@compiled
def _gelu_pullback(x: Any, dy: Any, dx: Any) -> None:
    for i in range(x.size):
        cdf, density = normal(x[i])
        dx[i] = dy[i] * (cdf + x[i] * density)


@inlined
def _logistic(x: Any) -> Any:
    decay = exp(-abs(x))
    gate = _F(1.0) / (_F(1.0) + decay)
    # 0 * x is NaN if x is NaN.
    return (gate if x >= _F(0.0) else decay * gate) + _F(0.0) * x


@compiled
def _sigmoid(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = _logistic(x[i])


@compiled
def _sigmoid_pullback(y: Any, dy: Any, dx: Any) -> None:
    for i in range(y.size):
        dx[i] = dy[i] * (y[i] * (_F(1.0) - y[i]))


@compiled
def _silu(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = x[i] * _logistic(x[i])


@compiled
def _silu_pullback(x: Any, dy: Any, dx: Any) -> None:
    for i in range(x.size):
        gate = _logistic(x[i])
        dx[i] = dy[i] * (gate + x[i] * gate * (_F(1.0) - gate))


@compiled
def _tanh(x: Any, y: Any) -> None:
    for i in range(x.size):
        a = abs(x[i])
        # (1 - e) / (1 + e) loses digits near 0, where the first terms of the series are exact enough.
        e = exp(_F(-2.0) * a)
        s = a * a
        series = a * (_F(1.0) - s * (_F(0.33333333) - s * (_F(0.13333333) - s * _F(0.053968254))))
        t = series if a < _F(0.25) else (_F(1.0) - e) / (_F(1.0) + e)
        y[i] = (t if x[i] >= _F(0.0) else -t) + _F(0.0) * x[i]


@compiled
def _tanh_pullback(y: Any, dy: Any, dx: Any) -> None:
    for i in range(y.size):
        dx[i] = dy[i] * (_F(1.0) - y[i] * y[i])
