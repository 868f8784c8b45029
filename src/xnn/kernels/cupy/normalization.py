"""Twins of normalization: one launch for the statistics and one for y, and two in the pullback.

An activation that follows batch normalization is part of the launches; its derivative is computed again from x. x may
be of float16 beside parameters of float32, and is then taken as if it were cast to float32, and y cast back.
"""

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from xnn import functional as F
from xnn._typing import Array, Gradients, Pullback
from xnn.functional.replicas import current
from xnn.kernels.cupy.gradients import as_gradient
from xnn.kernels.cupy.launching import FLOATS, Kernel, ready, spread
from xnn.kernels.cupy.sums import VECTORS, columns, launch_sums, vector_of

_ACTIVATIONS = ("Identity", "Relu", "Gelu", "Silu")
_STATISTICS = Kernel("normalization", "batch_norm_statistics", FLOATS, VECTORS)
_BATCH_NORM = Kernel("normalization", "batch_norm", FLOATS, VECTORS, _ACTIVATIONS)
_BATCH_NORM_SUMS = Kernel("normalization", "batch_norm_sums", FLOATS, VECTORS, _ACTIVATIONS)
_BATCH_NORM_DX = Kernel("normalization", "batch_norm_dx", FLOATS, VECTORS, _ACTIVATIONS)
_MOVE = Kernel("normalization", "move_statistics")
_LAYER_NORM = Kernel("layer_norm", "layer_norm", FLOATS, VECTORS)
_LAYER_NORM_DX = Kernel("layer_norm", "layer_norm_dx", FLOATS, VECTORS)
_LAYER_NORM_SUMS = Kernel("layer_norm", "layer_norm_sums", FLOATS, VECTORS)
_BLOCKS = 12 * 132
"""For kernels that add nothing up."""
_WARP, _THREADS = 32, 256
_LONG_ROW = 1024
"""Up to so many channels a warp has a row of layer normalization, above it a block."""


def batch_norm_statistics(x: Array) -> tuple[Array, Array]:
    """As `xnn.functional.batch_norm_statistics`, in float32 for float16 too."""
    plain = _plain(x)
    if plain is None or current() is not None:
        # The sums are those of all replicas.
        is_half = isinstance(x, cupy.ndarray) and x.dtype == np.float16
        return F.batch_norm_statistics(x.astype(np.float32) if is_half else x)
    channels = plain.shape[-1]
    statistics = cupy.empty(channels, np.float32), cupy.empty(channels, np.float32)
    parameters = plain.dtype.char, vector_of(channels, plain)
    launch_sums(_STATISTICS, parameters, (plain.size // channels, channels), (plain,), statistics, each=3)
    return statistics


def move_statistics(
    running_mean: Array, running_variance: Array, mean: Array, variance: Array, momentum: float, correction: float
) -> None:
    """Move running statistics in float32 towards a batch's: the last step of `xnn.nn.BatchNorm` in training.

    Parameters
    ----------
    running_mean, running_variance : (c,), overwritten
    mean, variance : (c,)
    momentum : float
    correction : float
        By which the variance is multiplied first.
    """
    batch = [cupy.ascontiguousarray(a, np.float32) for a in (mean, variance)]
    running, count = (running_mean, running_variance), running_mean.size
    numbers = count, float(momentum), float(correction)
    _MOVE.launch((), *spread(count), (*batch, *running), running, numbers)


def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    statistics: tuple[Array, Array] | None = None,
) -> tuple[Array, Pullback]:
    """As `xnn.functional.batch_norm`."""
    result = _batch_norm("Identity", x, weight, bias, eps, statistics)
    return _by_reference(F.batch_norm, x, weight, bias, eps, statistics) if result is None else result


def batch_norm_relu(x: Array, norm: tuple[Any, ...], _: tuple[()]) -> tuple[Array, Pullback] | None:
    """As `batch_norm`, followed by ReLU."""
    return _batch_norm("Relu", x, *norm)


def batch_norm_gelu(x: Array, norm: tuple[Any, ...], gelu: tuple[str]) -> tuple[Array, Pullback] | None:
    """As `batch_norm`, followed by the exact GELU."""
    return _batch_norm("Gelu", x, *norm) if gelu == ("none",) else None


def batch_norm_silu(x: Array, norm: tuple[Any, ...], _: tuple[()]) -> tuple[Array, Pullback] | None:
    """As `batch_norm`, followed by SiLU."""
    return _batch_norm("Silu", x, *norm)


def _batch_norm(
    activation: str,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    statistics: tuple[Array, Array] | None,
) -> tuple[Array, Pullback] | None:
    plain = _plain(x, weight, bias, *(statistics or ()))
    if plain is None or current() is not None:
        return None
    mean, variance = batch_norm_statistics(plain) if statistics is None else statistics
    return _normalize(activation, plain, weight, bias, mean, variance, eps, True)


def batch_norm_inference(
    x: Array, weight: Array | None, bias: Array | None, mean: Array, variance: Array, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """As `xnn.functional.batch_norm_inference`."""
    result = _batch_norm_inference("Identity", x, weight, bias, mean, variance, eps)
    return _by_reference(F.batch_norm_inference, x, weight, bias, mean, variance, eps) if result is None else result


def batch_norm_inference_relu(x: Array, norm: tuple[Any, ...], _: tuple[()]) -> tuple[Array, Pullback] | None:
    """As `batch_norm_inference`, followed by ReLU."""
    return _batch_norm_inference("Relu", x, *norm)


def batch_norm_inference_gelu(x: Array, norm: tuple[Any, ...], gelu: tuple[str]) -> tuple[Array, Pullback] | None:
    """As `batch_norm_inference`, followed by the exact GELU."""
    return _batch_norm_inference("Gelu", x, *norm) if gelu == ("none",) else None


def batch_norm_inference_silu(x: Array, norm: tuple[Any, ...], _: tuple[()]) -> tuple[Array, Pullback] | None:
    """As `batch_norm_inference`, followed by SiLU."""
    return _batch_norm_inference("Silu", x, *norm)


def _batch_norm_inference(
    activation: str, x: Array, weight: Array | None, bias: Array | None, mean: Array, variance: Array, eps: float
) -> tuple[Array, Pullback] | None:
    plain = _plain(x, weight, bias, mean, variance)
    return None if plain is None else _normalize(activation, plain, weight, bias, mean, variance, eps, False)


def _normalize(
    activation: str,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    variance: Array,
    eps: float,
    is_own: bool,
) -> tuple[Array, Pullback]:
    """Normalize by statistics that are x's own or given ones, and apply the activation."""
    channels = x.shape[-1]
    rows, norm, eps = x.size // channels, (mean, variance, weight, bias), float(eps)
    y = cupy.empty(x.shape, x.dtype)
    vector = vector_of(channels, x)
    _BATCH_NORM.launch(
        (x.dtype.char, vector, activation),
        *columns(rows, channels, vector, _BLOCKS),
        (x, *norm),
        (y,),
        (rows, channels, eps),
    )

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dy = as_gradient(dy, x.shape, x.dtype)
        vector = vector_of(channels, x, dy)
        parameters, numbers = (x.dtype.char, vector, activation), (rows, channels, eps)
        wants = needs[0], needs[1] and weight is not None, needs[2] and bias is not None
        dx = plain = along = None
        if any(wants[0 if is_own else 1 :]):
            plain, along = cupy.empty(channels, np.float32), cupy.empty(channels, np.float32)
            reads, writes = (dy, x, *norm), (plain, along)
            launch_sums(_BATCH_NORM_SUMS, parameters, (rows, channels), reads, writes, (eps,), each=2)
        if wants[0]:
            dx = cupy.empty(x.shape, x.dtype)
            sums = (plain, along) if is_own else (None, None)
            grid, block = columns(rows, channels, vector, _BLOCKS)
            _BATCH_NORM_DX.launch(parameters, grid, block, (dy, x, *norm, *sums), (dx,), numbers)
        return dx, along if wants[1] else None, plain if wants[2] else None

    return y, pullback


def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """As `xnn.functional.layer_norm`."""
    plain = _plain(x, weight, bias)
    return _by_reference(F.layer_norm, x, weight, bias, eps) if plain is None else _layer_norm(plain, weight, bias, eps)


def _layer_norm(x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Pullback]:
    channels = x.shape[-1]
    rows = x.size // channels
    wide = _WARP if channels <= _LONG_ROW else _THREADS
    grid, block = spread(rows * wide, _THREADS)[0], (wide, _THREADS // wide)
    y, mean, r = cupy.empty(x.shape, x.dtype), cupy.empty(rows, np.float32), cupy.empty(rows, np.float32)
    parameters = x.dtype.char, vector_of(channels, x)
    _LAYER_NORM.launch(parameters, grid, block, (x, weight, bias), (y, mean, r), (rows, channels, float(eps)))

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dy = as_gradient(dy, x.shape, x.dtype)
        parameters = x.dtype.char, vector_of(channels, x, dy)
        wants_weight, wants_bias = needs[1] and weight is not None, needs[2] and bias is not None
        dx = plain = along = None
        if needs[0]:
            dx = cupy.empty(x.shape, x.dtype)
            _LAYER_NORM_DX.launch(parameters, grid, block, (dy, x, mean, r, weight), (dx,), (rows, channels))
        if wants_weight or wants_bias:
            plain, along = cupy.empty(channels, np.float32), cupy.empty(channels, np.float32)
            reads, writes = (dy, x, mean, r), (plain, along)
            launch_sums(_LAYER_NORM_SUMS, parameters, (rows, channels), reads, writes, each=2)
        return dx, along if wants_weight else None, plain if wants_bias else None

    return y, pullback


def _plain(x: Array, *others: Array | None) -> Array | None:
    """Return x, made contiguous, if the kernels are for it: (..., c) of a type of `FLOATS`, others (c,) in float32."""
    channels = x.shape[-1:] if isinstance(x, cupy.ndarray) else ()
    if not channels:
        return None
    for a in others:
        if a is not None and not (
            isinstance(a, cupy.ndarray) and a.dtype.char == "f" and a.shape == channels and a.flags.c_contiguous
        ):
            return None
    return ready(x)


def _by_reference(function: Callable[..., Any], x: Array, *arguments: Any) -> tuple[Array, Pullback]:
    """Call a reference, for x of float16 beside parameters of float32 with x cast to float32, and y cast back."""
    others = [a for each in arguments for a in (each if isinstance(each, tuple) else (each,))]
    kinds = {a.dtype.char for a in others if isinstance(a, cupy.ndarray)}
    if not isinstance(x, cupy.ndarray) or x.dtype != np.float16 or "f" not in kinds:
        return function(x, *arguments)  # type: ignore[no-any-return]
    y, reference = function(x.astype(np.float32), *arguments)

    def pullback(dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> Gradients:
        dx, dweight, dbias = reference(dy.astype(np.float32), needs)
        return None if dx is None else dx.astype(np.float16), dweight, dbias

    return y.astype(np.float16), pullback
