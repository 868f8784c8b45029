"""Twins of `xnn.functional.activations`: y and the derivative in one pass, the pullback in another."""

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
_LEAST = 2**15
_LEAST_SIMPLE = 2**19
"""Fewest numbers that are worth waking a thread for, some 90 microseconds; with exp, and without."""


def relu(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.relu`."""
    if not _is_plain(x):
        return F.relu(x)
    y = empty(x.shape)
    threads().spread(_relu, (x, y), _LEAST_SIMPLE)

    def pullback(dy: Array) -> Array:
        if not _is_plain(dy):
            return np.where(y > 0, dy, np.zeros_like(dy))
        dx = empty(dy.shape)
        threads().spread(_relu_pullback, (y, dy, dx), _LEAST_SIMPLE)
        return dx

    return y, pullback


def gelu(x: Array, approximate: str = "none") -> tuple[Array, Pullback]:
    """As `xnn.functional.gelu`; by tanh, the reference itself.

    Φ(x) is by M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 1964, 7.1.26, whose absolute
    error is below 1e-7; that of y is below 3e-7.
    """
    if approximate != "none" or not _is_plain(x):
        return F.gelu(x, approximate)
    return _by_derivative(_gelu, x)


def sigmoid(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.sigmoid`."""
    return _by_derivative(_sigmoid, x) if _is_plain(x) else F.sigmoid(x)


def silu(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.silu`."""
    return _by_derivative(_silu, x) if _is_plain(x) else F.silu(x)


def tanh(x: Array) -> tuple[Array, Pullback]:
    """As `xnn.functional.tanh`."""
    return _by_derivative(_tanh, x) if _is_plain(x) else F.tanh(x)


def _by_derivative(kernel: Callable[..., None], x: Array) -> tuple[Array, Pullback]:
    """Return (y, pullback) of a kernel that writes y and f'(x)."""
    y, derivative = empty(x.shape), empty(x.shape)
    threads().spread(kernel, (x, y, derivative), _LEAST)

    def pullback(dy: Array) -> Array:
        if not _is_plain(dy):
            return dy * derivative
        dx = empty(dy.shape)
        threads().spread(_multiply, (dy, derivative, dx), _LEAST_SIMPLE)
        return dx

    return y, pullback


def _is_plain(x: Array) -> bool:
    return bool(x.dtype == np.float32 and x.flags.c_contiguous)


@compiled
def _relu(x: Any, y: Any) -> None:
    for i in range(x.size):
        # Written so that NaN stays NaN.
        y[i] = _F(0.0) if x[i] <= _F(0.0) else x[i]


@compiled
def _relu_pullback(y: Any, dy: Any, dx: Any) -> None:
    for i in range(y.size):
        dx[i] = dy[i] if y[i] > _F(0.0) else _F(0.0)


@compiled
def _multiply(a: Any, b: Any, product: Any) -> None:
    for i in range(a.size):
        product[i] = a[i] * b[i]


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
def _gelu(x: Any, y: Any, derivative: Any) -> None:
    for i in range(x.size):
        cdf, density = normal(x[i])
        y[i] = x[i] * cdf
        derivative[i] = cdf + x[i] * density


@inlined
def _logistic(x: Any) -> Any:
    decay = exp(-abs(x))
    gate = _F(1.0) / (_F(1.0) + decay)
    # 0 * x is NaN where x is.
    return (gate if x >= _F(0.0) else decay * gate) + _F(0.0) * x


@compiled
def _sigmoid(x: Any, y: Any, derivative: Any) -> None:
    for i in range(x.size):
        gate = _logistic(x[i])
        y[i] = gate
        derivative[i] = gate * (_F(1.0) - gate)


@compiled
def _silu(x: Any, y: Any, derivative: Any) -> None:
    for i in range(x.size):
        gate = _logistic(x[i])
        y[i] = x[i] * gate
        derivative[i] = gate + x[i] * gate * (_F(1.0) - gate)


@compiled
def _tanh(x: Any, y: Any, derivative: Any) -> None:
    for i in range(x.size):
        a = abs(x[i])
        # (1 - e) / (1 + e) loses digits near 0, where the first terms of the series are exact enough.
        e = exp(_F(-2.0) * a)
        s = a * a
        series = a * (_F(1.0) - s * (_F(0.33333333) - s * (_F(0.13333333) - s * _F(0.053968254))))
        t = series if a < _F(0.25) else (_F(1.0) - e) / (_F(1.0) + e)
        value = (t if x[i] >= _F(0.0) else -t) + _F(0.0) * x[i]
        y[i] = value
        derivative[i] = _F(1.0) - value * value
