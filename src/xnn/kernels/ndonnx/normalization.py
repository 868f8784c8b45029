"""Twins of normalization."""

import ndonnx
import numpy as np
import spox
from onnx import TensorProto, helper
from spox import Var

from xnn._typing import Array, Pullback
from xnn.kernels.ndonnx.layout import channels_first, channels_last, constant, no_pullback
from xnn.kernels.ndonnx.operators import op

_INPUTS = ("X", "scale", "B", "input_mean", "input_var")


def batch_norm_inference(
    x: Array, weight: Array | None, bias: Array | None, mean: Array, variance: Array, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """BatchNormalization; see `xnn.functional.batch_norm_inference`."""
    scale, shift = _scale_and_shift(x, weight, bias)
    statistics = mean.unwrap_spox(), variance.unwrap_spox()
    return channels_last(_batch_normalization(channels_first(x), scale, shift, *statistics, eps=eps)), no_pullback


def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """LayerNormalization; see `xnn.functional.layer_norm`."""
    y, _, _ = op.layer_normalization(x.unwrap_spox(), *_scale_and_shift(x, weight, bias), axis=-1, epsilon=eps)
    return ndonnx.asarray(y), no_pullback


def _scale_and_shift(x: Array, weight: Array | None, bias: Array | None) -> tuple[Var, Var]:
    channels = x.shape[-1]
    return (
        constant(np.ones(channels)) if weight is None else weight.unwrap_spox(),
        constant(np.zeros(channels)) if bias is None else bias.unwrap_spox(),
    )


def _batch_normalization(x: Var, *constants: Var, eps: float) -> Var:
    """Return the operator's y. Spox asks it for the outputs that it has in training, so it is added as a graph."""
    axes = x.unwrap_tensor().shape or ()
    shape = [None if isinstance(length, str) else length for length in axes]
    shapes = [shape, *[shape[1:2]] * len(constants)]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, each) for name, each in zip(_INPUTS, shapes, strict=True)
    ]
    node = helper.make_node("BatchNormalization", _INPUTS, ["Y"], epsilon=eps)
    output = helper.make_tensor_value_info("Y", TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "batch_norm", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    return spox.inline(model)(x, *constants)["Y"]
