"""Twins of the optimizers' update rules: one launch for all runs of a step."""

import math
from collections.abc import Sequence
from typing import Any

from xnn.kernels.cupy import tables
from xnn.kernels.cupy.launching import Kernel, spread

_PLAIN = Kernel("optimizers", "plain")
_WITH_MOMENTUM = Kernel("optimizers", "with_momentum", ("false", "true"))
_ADAM = Kernel("optimizers", "adam")
_RMSPROP = Kernel("optimizers", "rmsprop")
_MOMENTS = "first_moment", "second_moment"


def sgd(optimizer: Any, runs: Sequence[Any]) -> None:
    """As `xnn.optim.SGD` updates its runs."""
    lr, momentum, decay = optimizer.lr, optimizer.momentum, optimizer.weight_decay
    if not momentum:
        _update(optimizer, runs, _PLAIN, (), (), (lr, decay))
    else:
        kind = "true" if optimizer.nesterov else "false"
        _update(optimizer, runs, _WITH_MOMENTUM, (kind,), ("velocity",), (lr, momentum, decay))


def adam(optimizer: Any, runs: Sequence[Any]) -> None:
    """As `xnn.optim.Adam` updates its runs."""
    _update(optimizer, runs, _ADAM, (), _MOMENTS, (*_adam_numbers(optimizer), optimizer.weight_decay, 1.0))


def adamw(optimizer: Any, runs: Sequence[Any]) -> None:
    """As `xnn.optim.AdamW` updates its runs."""
    kept = 1.0 - optimizer.lr * optimizer.weight_decay
    _update(optimizer, runs, _ADAM, (), _MOMENTS, (*_adam_numbers(optimizer), 0.0, kept))


def rmsprop(optimizer: Any, runs: Sequence[Any]) -> None:
    """As `xnn.optim.RMSprop` updates its runs."""
    alpha, momentum = optimizer.alpha, optimizer.momentum
    numbers = optimizer.lr, alpha, 1.0 - alpha, optimizer.eps, momentum, optimizer.weight_decay
    _update(optimizer, runs, _RMSPROP, (), ("square_average", "velocity" if momentum else None), numbers)


def _adam_numbers(optimizer: Any) -> tuple[float, ...]:
    beta1, beta2 = optimizer.betas
    scale = math.sqrt(1.0 - beta2**optimizer.steps)
    step = optimizer.lr * scale / (1.0 - beta1**optimizer.steps)
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, optimizer.eps * scale, step


def _update(
    optimizer: Any,
    runs: Sequence[Any],
    kernel: Kernel,
    parameters: tuple[str, ...],
    slots: Sequence[str | None],
    numbers: tuple[float, ...],
) -> None:
    """Launch a kernel over all runs, with these slots; None is one that it does without."""
    table, count, total = tables.of_runs(runs)
    if not total:
        return
    model = optimizer.model
    vectors = model.parameters.flat, *[None if name is None else optimizer.slots[name] for name in slots]
    changed = [vector for vector in vectors if vector is not None]
    reads, moved = (table, model.gradients.flat, *changed), total * 4 * (1 + 2 * len(changed))
    kernel.launch(parameters, *spread(total), reads, vectors, (count, total, *map(float, numbers)), moved=moved)
