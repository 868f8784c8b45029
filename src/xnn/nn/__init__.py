"""Layers: parameters plus a function from `xnn.functional`, under the same names in CamelCase."""

from xnn.nn import initializers
from xnn.nn.activations import ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from xnn.nn.containers import Concatenate, Parallel, Residual, Sequential
from xnn.nn.conv import Conv2d
from xnn.nn.layer import Call, Layer
from xnn.nn.linear import Linear
from xnn.nn.losses import MSE, BinaryCrossEntropyWithLogits, Huber, L2Penalty, LossSum, SoftmaxCrossEntropy
from xnn.nn.normalization import BatchNorm, LayerNorm, renew_statistics
from xnn.nn.parameters import Buffer, Misfits, Parameter, Segment, Views
from xnn.nn.pooling import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from xnn.nn.shaping import Dropout, Flatten, Reshape
from xnn.nn.summary import Summary, SummaryRow

__all__ = [
    "ELU",
    "GELU",
    "MSE",
    "AvgPool2d",
    "BatchNorm",
    "BinaryCrossEntropyWithLogits",
    "Buffer",
    "Call",
    "Concatenate",
    "Conv2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "Huber",
    "L2Penalty",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "LossSum",
    "MaxPool2d",
    "Misfits",
    "Parallel",
    "Parameter",
    "ReLU",
    "Reshape",
    "Residual",
    "Segment",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Summary",
    "SummaryRow",
    "Tanh",
    "Views",
    "initializers",
    "renew_statistics",
]
