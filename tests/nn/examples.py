"""Every kind of layer, with an input shape that suits it and the function that it stands for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xnn import functional as F
from xnn import nn
from xnn.random import Random


@dataclass(frozen=True)
class Example:
    """A layer, the shape of its inputs, and ``(x, layer) -> y`` in training, by `xnn.functional`."""

    name: str
    make: Callable[[], nn.Layer]
    input_shape: tuple[int, ...]
    value: Callable[[Any, Any], Any]


def _unary(layer, function, shape=(2, 3), **options):
    def value(x, _):
        return function(x, **options)[0]

    return Example(layer.__name__ + ("" if not options else "-options"), lambda: layer(**options), shape, value)


def _bias(layer):
    return None if layer.bias is None else layer.bias.value


def _weight(layer):
    return None if layer.weight is None else layer.weight.value


def _linear(name, shape, **options):
    return Example(
        name, lambda: nn.Linear(3, **options), shape, lambda x, layer: F.linear(x, _weight(layer), _bias(layer))[0]
    )


def _conv(name, shape, channels, kernel, **options):
    bias = options.pop("bias", True)

    def value(x, layer):
        return F.conv2d(x, _weight(layer), _bias(layer), **options)[0]

    return Example(name, lambda: nn.Conv2d(channels, kernel, bias=bias, **options), shape, value)


def _norm(name, layer, function, shape, **options):
    def value(x, layer):
        return function(x, _weight(layer), _bias(layer))[0]

    return Example(name, lambda: layer(**options), shape, value)


EXAMPLES = (
    _linear("Linear", (4,)),
    _linear("Linear-no-bias", (4,), bias=False),
    _linear("Linear-of-images", (2, 2, 4)),
    _conv("Conv2d", (5, 4, 2), 3, 3),
    _conv("Conv2d-same", (5, 4, 2), 3, (3, 2), padding="same", stride=2),
    _conv("Conv2d-groups", (6, 5, 4), 2, 2, padding=1, dilation=(2, 1), groups=2, bias=False),
    _norm("BatchNorm", nn.BatchNorm, F.batch_norm, (3, 2, 4)),
    _norm("BatchNorm-of-vectors", nn.BatchNorm, F.batch_norm, (4,)),
    _norm("BatchNorm-no-scale", nn.BatchNorm, F.batch_norm, (4,), scale=False),
    _norm("BatchNorm-no-shift", nn.BatchNorm, F.batch_norm, (4,), shift=False),
    _norm("LayerNorm", nn.LayerNorm, F.layer_norm, (3, 4)),
    _norm("LayerNorm-plain", nn.LayerNorm, F.layer_norm, (4,), scale=False, shift=False),
    _unary(nn.MaxPool2d, F.max_pool2d, (5, 4, 2), window=2, stride=(1, 2), padding="same"),
    _unary(nn.AvgPool2d, F.avg_pool2d, (5, 4, 2), window=(2, 3), stride=None, padding=1),
    _unary(nn.GlobalAvgPool2d, F.global_avg_pool2d, (5, 4, 2)),
    _unary(nn.GlobalMaxPool2d, F.global_max_pool2d, (5, 4, 2)),
    _unary(nn.Flatten, F.flatten, (5, 4, 2)),
    Example("Reshape", lambda: nn.Reshape(4, 3), (2, 6), lambda x, _: F.reshape(x, (x.shape[0], 4, 3))[0]),
    Example(
        "Dropout",
        lambda: nn.Dropout(0.3),
        (4, 3),
        lambda x, layer: F.dropout(x, 0.3, Random(layer.backend, layer.random.seed, layer.random.stream))[0],
    ),
    _unary(nn.ReLU, F.relu),
    _unary(nn.LeakyReLU, F.leaky_relu, slope=0.2),
    _unary(nn.ELU, F.elu, alpha=0.7),
    _unary(nn.GELU, F.gelu),
    _unary(nn.GELU, F.gelu, approximate="tanh"),
    _unary(nn.SiLU, F.silu),
    _unary(nn.Sigmoid, F.sigmoid),
    _unary(nn.Tanh, F.tanh),
    _unary(nn.Softplus, F.softplus),
    _unary(nn.Softmax, F.softmax),
    _unary(nn.Softmax, F.softmax, axis=1),
    _unary(nn.LogSoftmax, F.log_softmax, axis=-2),
)
