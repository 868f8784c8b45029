"""Twins of the activations."""

import ndonnx

from xnn._typing import Array, Pullback
from xnn.kernels.ndonnx.layout import elementwise, no_pullback
from xnn.kernels.ndonnx.operators import op


def relu(x: Array) -> tuple[Array, Pullback]:
    """Relu; see `xnn.functional.relu`."""
    return elementwise(op.relu, x), no_pullback


def leaky_relu(x: Array, slope: float = 0.01) -> tuple[Array, Pullback]:
    """LeakyRelu; see `xnn.functional.leaky_relu`."""
    return elementwise(lambda inner: op.leaky_relu(inner, alpha=slope), x), no_pullback


def elu(x: Array, alpha: float = 1.0) -> tuple[Array, Pullback]:
    """Elu; see `xnn.functional.elu`."""
    return elementwise(lambda inner: op.elu(inner, alpha=alpha), x), no_pullback


def sigmoid(x: Array) -> tuple[Array, Pullback]:
    """Sigmoid; see `xnn.functional.sigmoid`."""
    return elementwise(op.sigmoid, x), no_pullback


def tanh(x: Array) -> tuple[Array, Pullback]:
    """Tanh; see `xnn.functional.tanh`."""
    return elementwise(op.tanh, x), no_pullback


def softplus(x: Array) -> tuple[Array, Pullback]:
    """Softplus; see `xnn.functional.softplus`."""
    return elementwise(op.softplus, x), no_pullback


def silu(x: Array) -> tuple[Array, Pullback]:
    """Mul by Sigmoid; see `xnn.functional.silu`."""
    return elementwise(lambda inner: op.mul(inner, op.sigmoid(inner)), x), no_pullback


def gelu(x: Array, approximate: str = "none") -> tuple[Array, Pullback]:
    """Gelu; see `xnn.functional.gelu`."""
    return elementwise(lambda inner: op.gelu(inner, approximate=approximate), x), no_pullback


def softmax(x: Array, axis: int = -1) -> tuple[Array, Pullback]:
    """Softmax; see `xnn.functional.softmax`."""
    return ndonnx.asarray(op.softmax(x.unwrap_spox(), axis=axis)), no_pullback


def log_softmax(x: Array, axis: int = -1) -> tuple[Array, Pullback]:
    """LogSoftmax; see `xnn.functional.log_softmax`."""
    return ndonnx.asarray(op.log_softmax(x.unwrap_spox(), axis=axis)), no_pullback
