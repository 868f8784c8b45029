"""The mathematics: each function returns its value and its pullback, the vector-Jacobian product.

>>> import numpy as np
>>> from xnn import functional as F
>>> x, weight, bias = np.ones((2, 3)), np.ones((3, 4)), np.zeros(4)
>>> y, pullback = F.linear(x, weight, bias)
>>> dx, dweight, dbias = pullback(np.ones_like(y))
>>> dx.shape, dweight.shape, dbias.shape
((2, 3), (3, 4), (4,))

A function of one differentiable argument has a pullback ``dy -> dx``. The pullback of several arguments takes
``needs``, a flag for each, and returns None for those not needed, so that nobody computes the gradient of the first
layer's input or of a frozen weight. Everything is written in Array API calls, works on any conforming library, and
keeps the arguments' dtype and device.
"""

from xnn.functional.activations import elu, gelu, leaky_relu, relu, sigmoid, silu, softplus, tanh
from xnn.functional.conv import conv2d
from xnn.functional.dropout import dropout
from xnn.functional.linear import linear
from xnn.functional.losses import (
    binary_cross_entropy_with_logits,
    huber,
    l2_penalty,
    mse,
    softmax_cross_entropy,
    sum_losses,
)
from xnn.functional.normalization import batch_norm, batch_norm_inference, batch_norm_statistics, layer_norm
from xnn.functional.pooling import avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d
from xnn.functional.shaping import add, concatenate, flatten, reshape
from xnn.functional.softmax import log_softmax, softmax

__all__ = [
    "add",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_inference",
    "batch_norm_statistics",
    "binary_cross_entropy_with_logits",
    "concatenate",
    "conv2d",
    "dropout",
    "elu",
    "flatten",
    "gelu",
    "global_avg_pool2d",
    "global_max_pool2d",
    "huber",
    "l2_penalty",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse",
    "relu",
    "reshape",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "sum_losses",
    "tanh",
]
