"""Twins of the optimizers' update rules, which read and write each number of each vector once.

The rules are explained in `xnn.optim`; here they use the same symbols, one position at a time. The gradient at row i
and column j is ``left[i] * right[j]``: that of a weight that saw one row is never written (see `xnn.kernels.pending`),
and a gradient that was written counts as a single row, with a factor of 1.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xnn._typing import Array
from xnn.kernels.numpy.compiled import compiled
from xnn.kernels.numpy.threads import as_slice, threads
from xnn.kernels.pending import Outer

_LEAST = 2**18
"""Fewest numbers that are worth waking a thread for."""

_F = np.float32
_ONE = np.ones(1, _F)
_MOMENTS = "first_moment", "second_moment"


def sgd(optimizer: Any, runs: Sequence[Any]) -> None:
    """As `xnn.optim.SGD` updates its runs."""
    lr, momentum = optimizer.lr, optimizer.momentum
    if not momentum:
        _update(optimizer, runs, _plain, (), lambda decay: (lr, decay))
    else:
        kernel = _nesterov if optimizer.nesterov else _classical
        _update(optimizer, runs, kernel, ("velocity",), lambda decay: (lr, momentum, decay))


def adam(optimizer: Any, runs: Sequence[Any]) -> None:
    """As `xnn.optim.Adam` updates its runs."""
    settings = _adam_settings(optimizer)
    _update(optimizer, runs, _adam, _MOMENTS, lambda decay: (*settings, decay, 1.0))


def adamw(optimizer: Any, runs: Sequence[Any]) -> None:
    """As `xnn.optim.AdamW` updates its runs."""
    settings = _adam_settings(optimizer)
    _update(optimizer, runs, _adam, _MOMENTS, lambda decay: (*settings, 0.0, 1.0 - optimizer.lr * decay))


def rmsprop(optimizer: Any, runs: Sequence[Any]) -> None:
    """As `xnn.optim.RMSprop` updates its runs."""
    settings = optimizer.lr, optimizer.alpha, 1.0 - optimizer.alpha, optimizer.eps, optimizer.momentum
    slots = ("square_average", "velocity") if optimizer.momentum else ("square_average",)
    _update(optimizer, runs, _rmsprop, slots, lambda decay: (*settings, decay))


def _adam_settings(optimizer: Any) -> tuple[float, ...]:
    beta1, beta2 = optimizer.betas
    scale = math.sqrt(1.0 - beta2**optimizer.steps)
    step = optimizer.lr * scale / (1.0 - beta1**optimizer.steps)
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, optimizer.eps * scale, step


def _update(
    optimizer: Any,
    runs: Sequence[Any],
    kernel: Any,
    slots: Sequence[str],
    settings: Callable[[float], tuple[float, ...]],
) -> None:
    """Run a kernel over all runs, with these slots and the settings for each run's weight decay."""
    model = optimizer.model
    # A model that is not a `xnn.nn.Layer` has no pending gradients.
    gradients, pending = model.gradients.unread() if hasattr(model.gradients, "unread") else (model.gradients.flat, [])
    outers = []
    for start, stop, gradient in pending:
        if isinstance(gradient, Outer) and any(run.start <= start < run.stop for run in runs):
            outers.append((start, stop, gradient))
        else:
            gradients[start:stop] = gradient.write().reshape(-1)
    vectors = model.parameters.flat, *[optimizer.slots[name] for name in slots]
    for run in runs:
        numbers, done = tuple(map(_F, settings(run.weight_decay))), run.start
        for start, stop, outer in outers:
            if run.start <= start < run.stop:
                _spread(kernel, _ONE, gradients[done:start], numbers, [v[done:start] for v in vectors])
                _spread(kernel, outer.left, outer.right, numbers, [v[start:stop] for v in vectors])
                done = stop
        _spread(kernel, _ONE, gradients[done : run.stop], numbers, [v[done : run.stop] for v in vectors])


def _spread(kernel: Any, left: Array, right: Array, numbers: tuple[Any, ...], vectors: list[Array]) -> None:
    """Run a kernel over vectors of ``len(left)`` rows, each thread its own rows, or its own piece of a single one."""
    if left.size * right.size < 2 * _LEAST:
        if right.size:
            kernel(left, right, *numbers, *vectors)
        return
    is_row = left.size == 1
    width = 1 if is_row else right.size

    def compute(part: range) -> None:
        own = slice(part.start * width, part.stop * width)
        factors, row = (left, right[own]) if is_row else (left[as_slice(part)], right)
        kernel(factors, row, *numbers, *[vector[own] for vector in vectors])

    threads().run(compute, threads().parts(right.size if is_row else left.size, -(-_LEAST // width)))


# Each kernel reads all that it needs at a position before it writes there: a load that follows a store to an address
# with the same lower twelve bits waits for it, and vectors of equal length often begin at addresses with the same bits.


@compiled
def _plain(left: Any, right: Any, lr: Any, decay: Any, parameter: Any) -> None:
    for i in range(left.size):
        for j in range(right.size):
            at = i * right.size + j
            parameter[at] -= lr * (left[i] * right[j] + decay * parameter[at])


@compiled
def _classical(left: Any, right: Any, lr: Any, momentum: Any, decay: Any, parameter: Any, velocity: Any) -> None:
    for i in range(left.size):
        for j in range(right.size):
            at = i * right.size + j
            v = momentum * velocity[at] + (left[i] * right[j] + decay * parameter[at])
            parameter[at] -= lr * v
            velocity[at] = v


@compiled
def _nesterov(left: Any, right: Any, lr: Any, momentum: Any, decay: Any, parameter: Any, velocity: Any) -> None:
    for i in range(left.size):
        for j in range(right.size):
            at = i * right.size + j
            d = left[i] * right[j] + decay * parameter[at]
            v = momentum * velocity[at] + d
            parameter[at] -= lr * (d + momentum * v)
            velocity[at] = v


@compiled
def _adam(
    left: Any, right: Any,
    beta1: Any, rest1: Any, beta2: Any, rest2: Any, eps: Any, step: Any, coupled: Any, kept: Any,
    parameter: Any, first: Any, second: Any,
) -> None:  # fmt: skip
    for i in range(left.size):
        for j in range(right.size):
            at = i * right.size + j
            g = left[i] * right[j] + coupled * parameter[at]
            m = beta1 * first[at] + rest1 * g
            s = beta2 * second[at] + rest2 * g * g
            parameter[at] = kept * parameter[at] - step * m / (np.sqrt(s) + eps)
            first[at] = m
            second[at] = s


@compiled
def _rmsprop(
    left: Any, right: Any,
    lr: Any, alpha: Any, rest: Any, eps: Any, momentum: Any, decay: Any,
    parameter: Any, average: Any, velocity: Any = None,
) -> None:  # fmt: skip
    for i in range(left.size):
        for j in range(right.size):
            at = i * right.size + j
            g = left[i] * right[j] + decay * parameter[at]
            s = alpha * average[at] + rest * g * g
            step = g / (np.sqrt(s) + eps)
            # Without a velocity, Numba leaves out the code for it.
            if velocity is not None:
                step += momentum * velocity[at]
            parameter[at] -= lr * step
            average[at] = s
            if velocity is not None:
                velocity[at] = step
