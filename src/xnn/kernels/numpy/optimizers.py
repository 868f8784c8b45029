"""Twins of the optimizers' update rules: each number of each vector is read and written once.

The rules themselves are in `xnn.optim`; here they are in the same symbols, one position at a time.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from xnn._typing import Array
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.threads import threads

_LEAST = 2**18
_F = np.float32


def sgd(optimizer: Any, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
    """As `xnn.optim.SGD` updates one run."""
    lr, momentum, decay = _F(optimizer.lr), _F(optimizer.momentum), _F(weight_decay)
    if not optimizer.momentum:
        threads().spread(lambda p, g: _plain(p, g, lr, decay), (parameter, gradient), _LEAST)
    elif optimizer.nesterov:
        threads().spread(
            lambda p, g, v: _nesterov(p, g, v, lr, momentum, decay), (parameter, gradient, slots["velocity"]), _LEAST
        )
    else:
        threads().spread(
            lambda p, g, v: _classical(p, g, v, lr, momentum, decay), (parameter, gradient, slots["velocity"]), _LEAST
        )


def adam(optimizer: Any, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
    """As `xnn.optim.Adam` updates one run."""
    _adam(optimizer, parameter, gradient, slots, coupled=weight_decay, kept=1.0)


def adamw(optimizer: Any, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
    """As `xnn.optim.AdamW` updates one run."""
    _adam(optimizer, parameter, gradient, slots, coupled=0.0, kept=1.0 - optimizer.lr * weight_decay)


def rmsprop(optimizer: Any, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
    """As `xnn.optim.RMSprop` updates one run."""
    settings = tuple(
        map(_F, (optimizer.lr, optimizer.alpha, 1.0 - optimizer.alpha, optimizer.eps, optimizer.momentum, weight_decay))
    )
    average = slots["square_average"]
    # Without momentum there is no velocity; the kernel then neither reads nor writes what stands in for it.
    velocity = slots.get("velocity", average)
    threads().spread(
        lambda p, g, a, v: _rmsprop(p, g, a, v, *settings), (parameter, gradient, average, velocity), _LEAST
    )


def _adam(
    optimizer: Any, parameter: Array, gradient: Array, slots: Mapping[str, Array], coupled: float, kept: float
) -> None:
    beta1, beta2 = optimizer.betas
    scale = math.sqrt(1.0 - beta2**optimizer.steps)
    step = optimizer.lr * scale / (1.0 - beta1**optimizer.steps)
    settings = tuple(map(_F, (beta1, 1.0 - beta1, beta2, 1.0 - beta2, optimizer.eps * scale, step, coupled, kept)))
    moments = slots["first_moment"], slots["second_moment"]
    threads().spread(lambda p, g, m, v: _adam_step(p, g, m, v, *settings), (parameter, gradient, *moments), _LEAST)


@compiled
def _plain(parameter: Any, gradient: Any, lr: Any, decay: Any) -> None:
    for i in range(parameter.size):
        parameter[i] -= lr * (gradient[i] + decay * parameter[i])


@compiled
def _classical(parameter: Any, gradient: Any, velocity: Any, lr: Any, momentum: Any, decay: Any) -> None:
    for i in range(parameter.size):
        velocity[i] = momentum * velocity[i] + (gradient[i] + decay * parameter[i])
        parameter[i] -= lr * velocity[i]


@compiled
def _nesterov(parameter: Any, gradient: Any, velocity: Any, lr: Any, momentum: Any, decay: Any) -> None:
    for i in range(parameter.size):
        d = gradient[i] + decay * parameter[i]
        velocity[i] = momentum * velocity[i] + d
        parameter[i] -= lr * (d + momentum * velocity[i])


@compiled
def _adam_step(
    parameter: Any, gradient: Any, first: Any, second: Any,
    beta1: Any, rest1: Any, beta2: Any, rest2: Any, eps: Any, step: Any, coupled: Any, kept: Any,
) -> None:  # fmt: skip
    for i in range(parameter.size):
        g = gradient[i] + coupled * parameter[i]
        first[i] = beta1 * first[i] + rest1 * g
        second[i] = beta2 * second[i] + rest2 * g * g
        parameter[i] = kept * parameter[i] - step * first[i] / (np.sqrt(second[i]) + eps)


@compiled
def _rmsprop(
    parameter: Any, gradient: Any, average: Any, velocity: Any,
    lr: Any, alpha: Any, rest: Any, eps: Any, momentum: Any, decay: Any,
) -> None:  # fmt: skip
    for i in range(parameter.size):
        g = gradient[i] + decay * parameter[i]
        average[i] = alpha * average[i] + rest * g * g
        step = g / (np.sqrt(average[i]) + eps)
        if momentum > _F(0.0):
            step += momentum * velocity[i]
            velocity[i] = step
        parameter[i] -= lr * step
