"""Twins of the optimizers' update rules: each number of each vector is read and written once.

The rules themselves are in `xnn.optim`; here they are in the same symbols, one position at a time.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xnn._typing import Array
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.threads import threads

_LEAST = 2**16
_F = np.float32


def sgd(optimizer: Any, parameter: Array, gradient: Array, slots: Mapping[str, Array], weight_decay: float) -> None:
    """As `xnn.optim.SGD` updates one run."""
    lr, momentum, decay = _F(optimizer.lr), _F(optimizer.momentum), _F(weight_decay)
    if not optimizer.momentum:
        _spread(lambda p, g: _plain(p, g, lr, decay), parameter, gradient)
    elif optimizer.nesterov:
        _spread(lambda p, g, v: _nesterov(p, g, v, lr, momentum, decay), parameter, gradient, slots["velocity"])
    else:
        _spread(lambda p, g, v: _classical(p, g, v, lr, momentum, decay), parameter, gradient, slots["velocity"])


def _spread(update: Callable[..., None], *vectors: Array) -> None:
    size = vectors[0].size
    if size < 2 * _LEAST:
        update(*vectors)
        return
    pool = threads()
    pool.run(lambda part: update(*(v[part.start : part.stop] for v in vectors)), pool.parts(size, _LEAST))


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
