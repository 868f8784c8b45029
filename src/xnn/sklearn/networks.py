"""The network of an estimator that is not a recipe's: from widths, or from layers."""

import copy
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from xnn import _checks, nn
from xnn._typing import Shape
from xnn.errors import suggest
from xnn.nn.initializers import uniform, xavier_uniform

ACTIVATIONS: dict[str, Callable[[], nn.Layer] | None] = {
    "identity": None,
    "logistic": nn.Sigmoid,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}
"""By the names that the estimators take: scikit-learn's, and others."""


def widths_of(hidden: Any) -> tuple[int, ...]:
    """Return the widths of the hidden layers that `hidden` stands for: a number, or a sequence of some."""
    try:
        given = tuple(hidden)
    except TypeError:
        given = (hidden,)
    return tuple(_checks.count("hidden, the width of a layer,", width, 1) for width in given)


def plain(hidden: tuple[int, ...], activation: str, shape: Shape, outputs: int) -> nn.Sequential:
    """Return linear layers of these widths with an activation after each, and one for the outputs; not built."""
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}."
            + suggest(str(activation), ACTIVATIONS)
        )
    make = ACTIVATIONS[activation]
    # Those of scikit-learn, so that who changes the class finds the same learning rates good.
    gain = math.sqrt(1 / 3) if activation == "logistic" else 1.0
    layers: list[nn.Layer] = [nn.Flatten()] if len(shape) > 1 else []
    for inputs, width in pairwise((math.prod(shape), *hidden, outputs)):
        reach = gain * math.sqrt(6 / (inputs + width))
        layers.append(
            nn.Linear(
                width,
                weight_initializer=partial(xavier_uniform, gain=gain),
                bias_initializer=partial(uniform, reach=reach),
            )
        )
        layers += [] if make is None else [make()]
    return nn.Sequential(*(layers if make is None else layers[:-1]))


def of_layers(given: Any, shape: Shape, outputs: int) -> nn.Layer:
    """Return a copy of a whole model, or of layers with a linear one behind them unless there is one already.

    Raises
    ------
    ValueError, TypeError
        They are no layers, do not fit the examples, or do not end in one output for each class or target.
    """
    if isinstance(given, nn.Layer):
        model = copy.deepcopy(given)
        if is_built(model) and tuple(model.input_shape) != shape:
            raise ValueError(f"layers is a model for inputs of shape {model.input_shape}, and X has {shape}")
    elif isinstance(given, list | tuple):
        model = _with_outputs([copy.deepcopy(layer) for layer in given], shape, outputs)
    else:
        raise TypeError(f"layers must be a list of layers, or a model such as nn.Sequential(...), not {given!r}")
    if not is_built(model):
        model.count(shape)
    if tuple(model.output_shape) != (outputs,):
        raise ValueError(
            f"layers is a model with outputs of shape {tuple(model.output_shape)}, and y needs ({outputs},); "
            "give a list of layers, to which the last one is added"
        )
    return model


def is_built(model: nn.Layer) -> bool:
    """Whether a model has weights."""
    return "parameters" in vars(model)


def _with_outputs(layers: list[nn.Layer], shape: Shape, outputs: int) -> nn.Sequential:
    if layers:
        body = nn.Sequential(*layers)
        body.count(shape)
        if isinstance(layers[-1], nn.Linear) and body.output_shape == (outputs,):
            return body
        shape = tuple(body.output_shape)
    flatten = [nn.Flatten()] if len(shape) > 1 else []
    return nn.Sequential(*layers, *flatten, nn.Linear(outputs))
