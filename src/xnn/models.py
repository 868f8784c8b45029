"""Named models: how each is built for a data set, and what its recipe leaves open."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from xnn import nn
from xnn._typing import Array, Shape
from xnn.data.whitening import WHITENING_EPS
from xnn.errors import SettingError, suggest
from xnn.nn.initializers import Initializer, kaiming_normal, partial_dirac
from xnn.random import Random
from xnn.recipes import RECIPES
from xnn.runs.settings import Settings, flag, known
from xnn.tasks import Task


@dataclass(frozen=True)
class Model:
    """A named model.

    Attributes
    ----------
    about
        One line.
    layers
        ``(task, hidden width, initializer of filters) -> Sequential``, not yet built.
    hidden
        ``task -> width`` where none is given.
    filters
        Whether it has convolutions.
    """

    about: str
    layers: Callable[..., nn.Sequential]
    hidden: Callable[[Task], int]
    filters: bool = False


COMMON: dict[str, Any] = {
    "precision": "float32",
    "l2": 0.0,
    "label_smoothing": 0.0,
    "warmup": 0.0,
    "clip_norm": 0.0,
    "average": 0.0,
    "augment": ("none",),
    "schedule": "constant",
    "weight_decay": 0.0,
    "decay": "weights",
    "window": 0,
    "window_share": 0.0,
    "init": "kaiming",
    "first_layer": "random",
    "whitening_eps": WHITENING_EPS,
    "first_bias_epochs": 0,
    "test_views": 1,
    "evaluate_every": 1,
}

MUON_ALONE = ("muon_steps", "filter_norm", "head_lr", "bias_lr", "sgd_momentum")
"""Settings that no other optimizer has; they stay None for the others."""

OPTIMIZER_DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "decay": "weights"},
    "adam": {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0, "decay": "weights"},
    "adamw": {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.01, "decay": "weights"},
    "rmsprop": {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0, "decay": "weights"},
    "muon": {
        **{"lr": 0.02, "momentum": 0.95, "weight_decay": 0.01, "decay": "weights"},
        **{"muon_steps": 5, "filter_norm": "free"},
        **{"head_lr": 0.05, "bias_lr": 0.05, "sgd_momentum": 0.9},
    },
}
"""For a model that is trained with another optimizer than its own."""


def names() -> list[str]:
    """Return the names `build` knows."""
    return list(MODELS)


def check_names(settings: Settings) -> None:
    """Raise a `SettingError` if no model or recipe has the name that is given, or the two do not belong together."""
    if settings.recipe is not None:
        _check_known("recipe", settings.recipe, RECIPES)
    _check_known("model", settings.model, MODELS)
    if settings.recipe is not None and settings.model != settings.recipe.partition("-")[0]:
        raise SettingError(
            f"--model {settings.model}: the recipe {settings.recipe} is of another; leave one of the two out"
        )


def _check_known(kind: str, name: str, table: Mapping[str, object]) -> None:
    if name not in table:
        raise SettingError(f"--{kind} {name}: unknown; choose one of {', '.join(table)}.{suggest(name, table)}")


def resolve(settings: Settings, task: Task) -> Settings:
    """Return the settings with what was left open filled in by the recipe, or by the one with the model's name.

    Raises
    ------
    SettingError
        There is no such model or recipe, or the values do not go together.
    """
    check_names(settings)
    model = MODELS[settings.model]
    own = COMMON | {"hidden": model.hidden(task)} | RECIPES[settings.recipe or settings.model](task)
    if settings.optimizer not in (None, own["optimizer"]):
        own = {name: value for name, value in own.items() if name not in MUON_ALONE}
        own |= OPTIMIZER_DEFAULTS[settings.optimizer or ""]
    if settings.dtype != "float32":
        own["precision"] = "float32"
    _check_halves(settings, own)
    missing = {name: value for name, value in own.items() if getattr(settings, name) is None}
    resolved = replace(settings, **missing)
    _check_together(resolved, model)
    return resolved


def _check_halves(settings: Settings, own: Mapping[str, Any]) -> None:
    """Raise a `SettingError` if half of what goes together was given, and the recipe does not have the other half."""
    for name, other in (("window", "window_share"), ("window_share", "window")):
        value = getattr(settings, name)
        if value and getattr(settings, other) is None and not own[other]:
            raise SettingError(f"{flag(name)} {value}: needs {flag(other)} too")
    eps = settings.whitening_eps
    if eps not in (None, own["whitening_eps"]) and (settings.first_layer or own["first_layer"]) != "whitening":
        raise SettingError(f"--whitening-eps {eps}: needs --first-layer whitening too")


def _check_together(resolved: Settings, model: Model) -> None:
    if known(resolved.warmup) >= known(resolved.epochs):
        raise SettingError(f"--warmup {resolved.warmup:g}: expected fewer epochs than --epochs {resolved.epochs}")
    if resolved.optimizer != "muon":
        for name in MUON_ALONE:
            if getattr(resolved, name) is not None:
                raise SettingError(
                    f"{flag(name)} {getattr(resolved, name)}: {resolved.optimizer} has none; it is for --optimizer muon"
                )
    if resolved.init != "kaiming" and not model.filters:
        raise SettingError(f"--init {resolved.init}: the model {resolved.model} has no convolutions")


INITIALIZERS: dict[str, Initializer] = {"kaiming": kaiming_normal, "dirac": partial_dirac}


def layers(settings: Settings, task: Task) -> nn.Sequential:
    """Return the model that resolved settings name, not yet built."""
    model, hidden = MODELS[settings.model], known(settings.hidden)
    # Runs from before there was a choice have no such setting.
    return model.layers(task, hidden, INITIALIZERS[settings.init or "kaiming"])


# --- lab6: the network and the protocol of the lab ---


def _lab6_hidden(task: Task) -> int:
    if task.classes >= 100:
        return 1024
    return 128 if task.inputs <= 1000 else 256


def _lab6_layers(task: Task, hidden: int, initializer: Initializer = kaiming_normal) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(hidden), nn.ReLU(), nn.Linear(task.classes))


# --- mlp: hidden layers with batch normalization ---


def _mlp_hidden(task: Task) -> int:
    if task.small:
        return 128
    return 768 if task.grey else 1024


def _mlp_layers(task: Task, hidden: int, initializer: Initializer = kaiming_normal) -> nn.Sequential:
    def block() -> list[nn.Layer]:
        return [nn.Linear(hidden, bias=False), nn.BatchNorm(), nn.ReLU()]

    return nn.Sequential(nn.Flatten(), *block(), *block(), nn.Linear(task.classes))


# --- cnn: convolutions that make the image smaller, each with batch normalization ---


def _convolution(channels: int, initializer: Initializer, pool: bool) -> list[nn.Layer]:
    # Pooling comes before what is computed for each pixel, so that this has a quarter of the pixels.
    pooling = [nn.MaxPool2d(2)] if pool else []
    return [
        nn.Conv2d(channels, 3, padding=1, bias=False, weight_initializer=initializer),
        *pooling,
        nn.BatchNorm(),
        nn.ReLU(),
    ]


def _cnn_layers(task: Task, width: int, initializer: Initializer = kaiming_normal) -> nn.Sequential:
    # Multiples of the width, and whether the image is halved there: to 4 x 4 pixels from the 32 x 32 of CIFAR.
    plan = [(1, False), (2, True)] if task.tiny else [(1, True), (2, True), (2, False), (4, True), (4, False)]
    layers: list[nn.Layer] = []
    for factor, pool in plan:
        layers += _convolution(factor * width, initializer, pool)
    summary = nn.Flatten() if task.tiny else nn.GlobalMaxPool2d()
    return nn.Sequential(*layers, summary, nn.Linear(task.classes))


def _cnn_hidden(task: Task) -> int:
    if task.tiny:
        return 16
    return 48 if task.grey else 64


# --- speed: the network of the public CIFAR-10 speed records ---


def _speed_layers(task: Task, width: int, initializer: Initializer = kaiming_normal) -> nn.Sequential:
    """Return a frozen convolution, three groups of two convolutions each, and a linear map.

    K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024. Images too small for all of its pooling get
    what they have room for. As there, the last layer begins small, so that all classes are equally likely at first, and
    the first layer's biases, which may stay as they are, are spread over 1 / √fan-in to both sides. That layer sees
    2 x 2 pixels; of grey ones 3 x 3, as whitening gets no more than two filters from a number that it sees.
    """
    kernel = 3 if task.grey else 2
    seen = kernel**2 * task.image_shape[-1]

    def convolution(channels: int, window: int = 1) -> list[nn.Layer]:
        pooling = [nn.MaxPool2d(window)] if window > 1 else []
        filters = nn.Conv2d(channels, 3, padding=1, bias=False, weight_initializer=initializer)
        # The filters' norms say nothing that a scale could: the convolution after it can do that.
        return [filters, *pooling, nn.BatchNorm(momentum=0.4, scale=False), nn.GELU()]

    spread = partial(_spread, reach=1 / math.sqrt(seen))
    first = nn.Conv2d(2 * seen, kernel, trainable=False, bias_initializer=spread)
    layers: list[nn.Layer] = [first, nn.GELU()]
    side = min(task.image_shape[:2]) - kernel + 1
    for channels in (width, 4 * width, 4 * width):
        window = min(2, side)
        side //= window
        layers += [*convolution(channels, window), *convolution(channels)]
    head = nn.Linear(task.classes, bias=False, weight_initializer=_small)
    return nn.Sequential(*layers, nn.GlobalMaxPool2d(), head)


def _small(shape: Shape, random: Random) -> Array:
    return kaiming_normal(shape, random, gain=1 / math.sqrt(shape[0]))


def _spread(shape: Shape, random: Random, reach: float) -> Array:
    return reach * (2.0 * random.uniform(shape, "float64") - 1.0)


MODELS: dict[str, Model] = {
    "cnn": Model("two or five convolutions", _cnn_layers, _cnn_hidden, filters=True),
    "mlp": Model("two hidden layers", _mlp_layers, _mlp_hidden),
    "lab6": Model("one hidden layer, trained as in the lab", _lab6_layers, _lab6_hidden),
    "speed": Model("the convolutions of the speed records", _speed_layers, lambda task: 64, filters=True),
}
