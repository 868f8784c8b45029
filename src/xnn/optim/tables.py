"""Optimizers and schedules by their names in a run's settings, and how each is made from those settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xnn.optim.adam import Adam, AdamW
from xnn.optim.groups import Groups, Part, last_layer, split
from xnn.optim.muon import Muon, hidden_matrices
from xnn.optim.optimizer import Model, Optimizer
from xnn.optim.rmsprop import RMSprop
from xnn.optim.schedules import Constant, Cosine, Linear, OneCycle, Schedule, Step
from xnn.optim.sgd import SGD


@dataclass(frozen=True)
class Kind:
    """One of the optimizers.

    Attributes
    ----------
    make
        ``(model, *, decay_all, **settings) -> Optimizer``: the class, or a function if the settings' names differ from
        those of its arguments.
    settings
        The settings that it takes, and their defaults.

    Examples
    --------
    >>> from xnn.optim.tables import OPTIMIZERS
    >>> OPTIMIZERS["adamw"].settings
    {'lr': 0.001, 'weight_decay': 0.01}
    """

    make: Callable[..., Optimizer]
    settings: dict[str, Any]


def _sgd(model: Model, *, momentum: float, **settings: Any) -> SGD:
    return SGD(model, momentum=momentum, nesterov=momentum > 0.0, **settings)


def _muon(
    model: Model,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    decay_all: bool,
    muon_steps: int,
    filter_norm: str,
    head_lr: float,
    bias_lr: float,
    sgd_momentum: float,
) -> Groups:
    def sgd(part: Part, own: float) -> SGD:
        # A step removes the same share of everything that is decayed.
        decay = weight_decay * (lr / own)
        nesterov = sgd_momentum > 0.0
        return SGD(part, own, momentum=sgd_momentum, nesterov=nesterov, weight_decay=decay, decay_all=decay_all)

    hidden, head, rest = split(model, hidden_matrices(model), lambda name, shape: len(shape) >= 2)
    muon = Muon(
        hidden,
        lr,
        momentum=momentum,
        nesterov=momentum > 0.0,
        weight_decay=weight_decay,
        normalize=filter_norm == "fixed",
        iterations=muon_steps,
        decay_all=decay_all,
    )
    return Groups(muon, sgd(head, head_lr), sgd(rest, bias_lr))


OPTIMIZERS: dict[str, Kind] = {
    "sgd": Kind(_sgd, {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}),
    "adam": Kind(Adam, {"lr": 1e-3, "weight_decay": 0.0}),
    "adamw": Kind(AdamW, {"lr": 1e-3, "weight_decay": 0.01}),
    "rmsprop": Kind(RMSprop, {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0}),
    "muon": Kind(
        _muon,
        {
            **{"lr": 0.02, "momentum": 0.95, "weight_decay": 0.01},
            **{"muon_steps": 5, "filter_norm": "free"},
            **{"head_lr": 0.05, "bias_lr": 0.05, "sgd_momentum": 0.9},
        },
    ),
}


def make_optimizer(name: str, model: Model, body_lr: float = 1.0, **settings: Any) -> Optimizer:
    """Return one of the optimizers, made from its settings.

    Parameters
    ----------
    name : str
        One of `OPTIMIZERS`.
    model : Model
    body_lr : float
        Factor of the learning rate of all but the last layer.
    **settings
        Those that the optimizer takes, and ``decay_all``.

    Examples
    --------
    >>> from xnn import nn
    >>> from xnn.optim.tables import OPTIMIZERS, make_optimizer
    >>> model = nn.Linear(2).build((4,), backend="numpy")
    >>> make_optimizer("sgd", model, decay_all=False, **OPTIMIZERS["sgd"].settings).momentum
    0.9
    """
    make = OPTIMIZERS[name].make
    if body_lr == 1.0:
        return make(model, **settings)
    if "head_lr" in settings:  # the head has a rate of its own, and the others are the body's
        return make(model, **settings | {rate: body_lr * settings[rate] for rate in ("lr", "bias_lr")})
    head, body = split(model, last_layer(model))
    return Groups(make(head, **settings), make(body, **settings | {"lr": body_lr * settings["lr"]}))


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": lambda lr, total_steps, warmup_steps: Constant(lr, warmup_steps=warmup_steps),
    "step": lambda lr, total_steps, warmup_steps: Step(lr, -(-total_steps // 3), warmup_steps=warmup_steps),
    "cosine": Cosine,
    "linear": Linear,
    "one-cycle": OneCycle,
}
"""Each takes the highest learning rate, the total number of steps, and ``warmup_steps`` by keyword."""


TAKEN = tuple(dict.fromkeys(name for kind in OPTIMIZERS.values() for name in kind.settings))
"""The settings that optimizers take."""


def takers(setting: str) -> list[str]:
    """Return the names of the optimizers that take a setting."""
    return [name for name, kind in OPTIMIZERS.items() if setting in kind.settings]
