"""Named models: how each is built for a data set, and the settings it trains well with."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from xnn import nn
from xnn._typing import Array, Shape
from xnn.errors import SettingError, suggest
from xnn.nn.initializers import Initializer, kaiming_normal, partial_dirac
from xnn.random import Random
from xnn.training.settings import Settings, flag, known


@dataclass(frozen=True)
class Task:
    """What a model is to learn: the facts about a data set that a model's size and settings depend on."""

    dataset: str
    image_shape: tuple[int, ...]
    classes: int
    images: int

    @property
    def inputs(self) -> int:
        """Numbers in an image."""
        return math.prod(self.image_shape)

    @property
    def grey(self) -> bool:
        """Whether the images have one channel."""
        return self.image_shape[-1] == 1

    @property
    def small(self) -> bool:
        """Whether there are so few images that small batches are fast enough."""
        return self.images < 10_000

    @property
    def tiny(self) -> bool:
        """Whether the images are as small as those of the digits."""
        return min(self.image_shape[:2]) < 16


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
    defaults
        ``task -> settings``: those in which the model differs from `COMMON`.
    filters
        Whether it has convolutions.
    """

    about: str
    layers: Callable[..., nn.Sequential]
    hidden: Callable[[Task], int]
    defaults: Callable[[Task], dict[str, Any]]
    filters: bool = False


COMMON: dict[str, Any] = {
    "l2": 0.0,
    "label_smoothing": 0.0,
    "warmup": 0.0,
    "clip_norm": 0.0,
    "average": 0.0,
    "augment": ("none",),
    "schedule": "constant",
    "weight_decay": 0.0,
    "decay": "weights",
    "init": "kaiming",
    "first_layer": "random",
    "first_bias_epochs": 0,
    "test_views": 1,
}

MUON_ALONE = ("muon_steps", "filter_norm", "head_lr", "bias_lr", "sgd_momentum")
"""Settings that no other optimizer has; they stay None for the others."""

OPTIMIZER_DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.05, "momentum": 0.9},
    "adam": {"lr": 1e-3, "momentum": 0.0},
    "adamw": {"lr": 1e-3, "momentum": 0.0},
    "rmsprop": {"lr": 1e-3, "momentum": 0.0},
    "muon": {
        **{"lr": 0.02, "momentum": 0.95, "muon_steps": 5, "filter_norm": "free"},
        **{"head_lr": 0.05, "bias_lr": 0.05, "sgd_momentum": 0.9},
    },
}
"""For a model that is trained with another optimizer than its own."""


def names() -> list[str]:
    """Return the names `build` knows."""
    return list(MODELS)


def check_name(name: str) -> None:
    """Raise a `SettingError` if no model has this name."""
    if name not in MODELS:
        raise SettingError(f"--model {name}: unknown; choose one of {', '.join(MODELS)}.{suggest(name, MODELS)}")


def resolve(settings: Settings, task: Task, recipe: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings with what was left open filled in: from the recipe's, then from the model's own.

    Raises
    ------
    SettingError
        There is no such model, or the values do not go together.
    """
    check_name(settings.model)
    model = MODELS[settings.model]
    own = COMMON | model.defaults(task) | {"hidden": model.hidden(task)} | dict(recipe or {})
    if settings.optimizer not in (None, own["optimizer"]):
        own = {name: value for name, value in own.items() if name not in MUON_ALONE}
        own |= OPTIMIZER_DEFAULTS[settings.optimizer or ""]
    missing = {name: value for name, value in own.items() if getattr(settings, name) is None}
    resolved = replace(settings, **missing)
    _check_together(resolved, model)
    return resolved


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


def _lab6_defaults(task: Task) -> dict[str, Any]:
    # The lab had no data set as small as the digits: its step size would need hundreds of passes there.
    return {
        "optimizer": "sgd",
        "momentum": 0.0,
        "lr": 1e-3 if task.small else 1e-4,
        "batch_size": 1,
        "l2": 1e-3,
        "epochs": 1 if task.grey and not task.small else 20,
    }


# --- mlp: hidden layers with batch normalization ---


def _mlp_layers(task: Task, hidden: int, initializer: Initializer = kaiming_normal) -> nn.Sequential:
    def block() -> list[nn.Layer]:
        return [nn.Linear(hidden, bias=False), nn.BatchNorm(), nn.ReLU()]

    return nn.Sequential(nn.Flatten(), *block(), *block(), nn.Linear(task.classes))


def _mlp_defaults(task: Task) -> dict[str, Any]:
    return {
        "optimizer": "adamw",
        "momentum": 0.0,
        "lr": 2e-3,
        "weight_decay": 0.01,
        "schedule": "one-cycle",
        "batch_size": 64 if task.small else 128,
        "epochs": 20 if task.small else 10,
    }


# --- cnn: convolutions that make the image smaller, each with batch normalization ---


def _convolution(channels: int, initializer: Initializer, *, stride: int = 1, pool: bool = False) -> list[nn.Layer]:
    # Pooling comes before what is computed for each pixel, so that this has a quarter of the pixels.
    pooling = [nn.MaxPool2d(2)] if pool else []
    return [
        nn.Conv2d(channels, 3, stride=stride, padding=1, bias=False, weight_initializer=initializer),
        *pooling,
        nn.BatchNorm(),
        nn.ReLU(),
    ]


def _cnn_layers(task: Task, width: int, initializer: Initializer = kaiming_normal) -> nn.Sequential:
    convolution = functools.partial(_convolution, initializer=initializer)
    if task.tiny:
        body = [*convolution(width), *convolution(2 * width, pool=True)]
    elif task.grey:
        body = [*convolution(width, stride=2), *convolution(2 * width, stride=2)]
    else:
        body = [layer for factor in (1, 2, 4) for layer in convolution(factor * width, pool=True)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(task.classes))


def _cnn_hidden(task: Task) -> int:
    if task.tiny:
        return 16
    return 24 if task.grey else 32


def _cnn_defaults(task: Task) -> dict[str, Any]:
    return {
        "optimizer": "sgd",
        "momentum": 0.9,
        "lr": 0.1,
        "weight_decay": 5e-4,
        "schedule": "one-cycle",
        "batch_size": 32 if task.small else 128,
        "epochs": 10,
        "augment": ("none",) if task.grey else ("flip", "crop"),
    }


# --- speed: the network of the public CIFAR-10 speed records ---


def _speed_layers(task: Task, width: int, initializer: Initializer = kaiming_normal) -> nn.Sequential:
    """Return a frozen 2 x 2 convolution, three groups of two convolutions each, and a linear map.

    K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024. Images too small for all of its pooling get
    what they have room for. The last layer begins small, as there, so that all classes are equally likely at first.
    """

    def convolution(channels: int, window: int = 1) -> list[nn.Layer]:
        pooling = [nn.MaxPool2d(window)] if window > 1 else []
        filters = nn.Conv2d(channels, 3, padding=1, bias=False, weight_initializer=initializer)
        # The filters' norms say nothing that a scale could: the convolution after it can do that.
        return [filters, *pooling, nn.BatchNorm(momentum=0.4, scale=False), nn.GELU()]

    def small(shape: Shape, random: Random) -> Array:
        return kaiming_normal(shape, random, gain=1 / math.sqrt(shape[0]))

    layers: list[nn.Layer] = [nn.Conv2d(8 * task.image_shape[-1], 2, trainable=False), nn.GELU()]
    side = min(task.image_shape[:2]) - 1
    for channels in (width, 4 * width, 4 * width):
        window = min(2, side)
        side //= window
        layers += [*convolution(channels, window), *convolution(channels)]
    head = nn.Linear(task.classes, bias=False, weight_initializer=small)
    return nn.Sequential(*layers, nn.MaxPool2d(min(3, side)), nn.Flatten(), head)


def _speed_defaults(task: Task) -> dict[str, Any]:
    return {
        "optimizer": "sgd",
        "momentum": 0.9,
        "lr": 0.1,
        "weight_decay": 5e-4,
        "label_smoothing": 0.2,
        "schedule": "one-cycle",
        "batch_size": 250,
        "epochs": 10,
        "augment": ("none",) if task.grey else ("flip", "crop"),
    }


MODELS: dict[str, Model] = {
    "cnn": Model("two or three convolutions", _cnn_layers, _cnn_hidden, _cnn_defaults, filters=True),
    "mlp": Model("two hidden layers", _mlp_layers, lambda task: 128 if task.small else 512, _mlp_defaults),
    "lab6": Model("one hidden layer, trained as in the lab", _lab6_layers, _lab6_hidden, _lab6_defaults),
    "speed": Model(
        "the convolutions of the speed records", _speed_layers, lambda task: 64, _speed_defaults, filters=True
    ),
}
