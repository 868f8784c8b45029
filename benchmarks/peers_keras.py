"""Keras on JAX: its own compiled step and inference on batches, by ``train_on_batch`` and ``predict_on_batch``.

The network is made from xnn's layers and starts with xnn's numbers, so both compute the same, as the tests check.
"""

import os
from collections.abc import Callable
from typing import Any

# Keras looks up its backend when it is imported.
os.environ["KERAS_BACKEND"] = "jax"

import keras

from benchmarks.peers_xnn import xnn_model
from benchmarks.tasks import MOMENTUM, RATES
from xnn import nn

STEPS = 1


def variants(network: Any, task: Any) -> dict[str, Callable[[], object]]:
    """Return one function, which compiles at its first call and returns NumPy numbers."""
    model, x, y = keras_model(network, task.batch, task.optimizer or "sgd")
    if task.kind == "inference":
        return {"": lambda: model.predict_on_batch(x)}
    return {"": lambda: model.train_on_batch(x, y)}


def keras_model(network: Any, batch: int, optimizer: str = "sgd") -> tuple[Any, Any, Any]:
    """Return the network, ready to train, and images and labels as arrays of Keras's backend."""
    layers, x, y = xnn_model(network, batch)
    image = keras.Input(network.input_shape)
    model = keras.Model(image, forward(layers, image))
    model.compile(
        optimizer=keras_optimizer(optimizer),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
    )
    return model, keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)


def keras_optimizer(name: str) -> Any:
    """Return the optimizer of that name in `OPTIMIZERS`."""
    if name == "adam":
        return keras.optimizers.Adam(RATES[name], epsilon=1e-8)
    return keras.optimizers.SGD(RATES[name], momentum=MOMENTUM if name == "momentum" else 0.0)


def forward(layer: nn.Layer, x: Any) -> Any:
    """Compute what a layer of xnn computes, with Keras's layers and xnn's numbers; x is symbolic."""
    match layer:
        case nn.Sequential():
            for inner in layer.layers:
                x = forward(inner, x)
            return x
        case nn.Residual():
            return keras.layers.add(
                [forward(layer.body, x), x if layer.shortcut is None else forward(layer.shortcut, x)]
            )
        case nn.Flatten():
            return keras.layers.Flatten()(x)
        case nn.Linear():
            return _apply(keras.layers.Dense(layer.features, use_bias=layer.use_bias), x, layer.weight, layer.bias)
        case nn.Conv2d():
            if layer.padding:
                x = keras.layers.ZeroPadding2D(layer.padding)(x)
            convolution = keras.layers.Conv2D(
                layer.channels, layer.kernel, layer.stride, use_bias=layer.use_bias, trainable=layer.trainable
            )
            return _apply(convolution, x, layer.weight, layer.bias)
        case nn.BatchNorm():
            norm = keras.layers.BatchNormalization(
                momentum=1 - layer.momentum,
                epsilon=layer.eps,
                center=layer.bias is not None,
                scale=layer.weight is not None,
            )
            return _apply(norm, x, layer.weight, layer.bias, layer.running_mean, layer.running_variance)
        case nn.MaxPool2d():
            return keras.layers.MaxPooling2D(layer.window, layer.stride)(x)
        case nn.AvgPool2d():
            return keras.layers.AveragePooling2D(layer.window, layer.stride)(x)
        case nn.GlobalAvgPool2d():
            return keras.layers.GlobalAveragePooling2D()(x)
        case nn.GlobalMaxPool2d():
            return keras.layers.GlobalMaxPooling2D()(x)
        case nn.ReLU():
            return keras.ops.relu(x)
        case nn.GELU():
            return keras.ops.gelu(x, approximate=layer.approximate == "tanh")
        case nn.Tanh():
            return keras.ops.tanh(x)
    raise TypeError(f"{type(layer).__name__} has no counterpart in Keras here: add it to benchmarks/peers_keras.py")


def _apply(layer: Any, x: Any, *values: Any) -> Any:
    """Return the layer's result, and give the layer those parameters and buffers that are not None."""
    y = layer(x)
    layer.set_weights([value.value for value in values if value is not None])
    return y
