"""Named models: how each is built for a data set, and the settings it trains well with."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from xnn import nn
from xnn.errors import SettingError, suggest
from xnn.training.settings import Settings, known


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
        ``(task, hidden width) -> Sequential``, not yet built.
    hidden
        ``task -> width`` where none is given.
    defaults
        ``task -> settings``: those in which the model differs from `COMMON`.
    """

    about: str
    layers: Callable[[Task, int], nn.Sequential]
    hidden: Callable[[Task], int]
    defaults: Callable[[Task], dict[str, Any]]


COMMON: dict[str, Any] = {
    "l2": 0.0,
    "label_smoothing": 0.0,
    "warmup": 0.0,
    "clip_norm": 0.0,
    "average": 0.0,
    "augment": ("none",),
    "schedule": "constant",
    "weight_decay": 0.0,
}

OPTIMIZER_DEFAULTS: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.05, "momentum": 0.9},
    "adam": {"lr": 1e-3, "momentum": 0.0},
    "adamw": {"lr": 1e-3, "momentum": 0.0},
    "rmsprop": {"lr": 1e-3, "momentum": 0.0},
}
"""For a model that is trained with another optimizer than its own."""


def names() -> list[str]:
    """Return the names `build` knows."""
    return list(MODELS)


def check_name(name: str) -> None:
    """Raise a `SettingError` if no model has this name."""
    if name not in MODELS:
        raise SettingError(f"--model {name}: unknown; choose one of {', '.join(MODELS)}.{suggest(name, MODELS)}")


def resolve(settings: Settings, task: Task) -> Settings:
    """Return the settings with what was left to the model filled in.

    Raises
    ------
    SettingError
        There is no such model, or the values do not go together.
    """
    check_name(settings.model)
    model = MODELS[settings.model]
    own = COMMON | model.defaults(task) | {"hidden": model.hidden(task)}
    if settings.optimizer not in (None, own["optimizer"]):
        own |= OPTIMIZER_DEFAULTS[settings.optimizer or ""]
    missing = {name: value for name, value in own.items() if getattr(settings, name) is None}
    resolved = replace(settings, **missing)
    if known(resolved.warmup) >= known(resolved.epochs):
        raise SettingError(f"--warmup {resolved.warmup:g}: expected fewer epochs than --epochs {resolved.epochs}")
    return resolved


def layers(settings: Settings, task: Task) -> nn.Sequential:
    """Return the model that resolved settings name, not yet built."""
    return MODELS[settings.model].layers(task, known(settings.hidden))


# --- lab6: the network and the protocol of the lab ---


def _lab6_hidden(task: Task) -> int:
    if task.classes >= 100:
        return 1024
    return 128 if task.inputs <= 1000 else 256


def _lab6_layers(task: Task, hidden: int) -> nn.Sequential:
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


def _mlp_layers(task: Task, hidden: int) -> nn.Sequential:
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


def _convolution(channels: int, *, stride: int = 1, pool: bool = False) -> list[nn.Layer]:
    # Pooling comes before what is computed for each pixel, so that this has a quarter of the pixels.
    pooling = [nn.MaxPool2d(2)] if pool else []
    return [
        nn.Conv2d(channels, 3, stride=stride, padding=1, bias=False),
        *pooling,
        nn.BatchNorm(),
        nn.ReLU(),
    ]


def _cnn_layers(task: Task, width: int) -> nn.Sequential:
    if task.tiny:
        body = [*_convolution(width), *_convolution(2 * width, pool=True)]
    elif task.grey:
        body = [*_convolution(width, stride=2), *_convolution(2 * width, stride=2)]
    else:
        body = [layer for factor in (1, 2, 4) for layer in _convolution(factor * width, pool=True)]
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


def _speed_layers(task: Task, width: int) -> nn.Sequential:
    """Return a frozen 2 x 2 convolution, three groups of two convolutions each, and a linear map.

    K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024. Images too small for all of its pooling get
    what they have room for.
    """
    layers: list[nn.Layer] = [nn.Conv2d(8 * task.image_shape[-1], 2, trainable=False), nn.GELU()]
    side = min(task.image_shape[:2]) - 1
    for channels in (width, 4 * width, 4 * width):
        window = min(2, side)
        side //= window
        layers += [nn.Conv2d(channels, 3, padding=1, bias=False), nn.MaxPool2d(window), nn.BatchNorm(), nn.GELU()]
        layers += [nn.Conv2d(channels, 3, padding=1, bias=False), nn.BatchNorm(), nn.GELU()]
    return nn.Sequential(*layers, nn.MaxPool2d(min(3, side)), nn.Flatten(), nn.Linear(task.classes, bias=False))


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
    "cnn": Model("two or three convolutions", _cnn_layers, _cnn_hidden, _cnn_defaults),
    "mlp": Model("two hidden layers", _mlp_layers, lambda task: 128 if task.small else 512, _mlp_defaults),
    "lab6": Model("one hidden layer, trained as in the lab", _lab6_layers, _lab6_hidden, _lab6_defaults),
    "speed": Model("the convolutions of the speed records", _speed_layers, lambda task: 64, _speed_defaults),
}
