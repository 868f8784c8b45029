"""Values for the settings that a run leaves open: the recipe's own, and those that all recipes share."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from xnn.data.whitening import WHITENING_EPS
from xnn.errors import SettingError, suggest
from xnn.optim.tables import OPTIMIZERS, TAKEN
from xnn.recipes import RECIPES
from xnn.runs.settings import FIELDS, Settings, flag, known
from xnn.tasks import Task

COMMON: dict[str, Any] = {
    "precision": "float32",
    "l2": 0.0,
    "label_smoothing": 0.0,
    "class_weights": "none",
    "warmup": 0.0,
    "clip_norm": 0.0,
    "average": 0.0,
    "augment": ("none",),
    "schedule": "constant",
    "decay": "weights",
    "window": 0,
    "window_share": 0.0,
    "shrink": 1,
    "init": "kaiming",
    "first_layer": "random",
    "whitening_eps": WHITENING_EPS,
    "first_bias_epochs": 0,
    "test_views": 1,
    "evaluate_every": 1,
}
"""What a recipe has unless it says otherwise."""

GENTLER = 0.1
"""Factor of the learning rates where few images follow another run's weights (`--from`)."""
RATES = ("lr", "head_lr", "bias_lr")


def check_names(settings: Settings) -> None:
    """Raise a `SettingError` if no recipe or model has the given name, or if the two do not belong together."""
    if settings.model is None:
        raise SettingError(f"--model: is not given; choose one of {', '.join(RECIPES)}")
    if settings.recipe is not None:
        _check_known("recipe", settings.recipe)
    _check_known("model", settings.model)
    if settings.recipe is not None and settings.model != settings.recipe.partition("-")[0]:
        raise SettingError(
            f"--model {settings.model}: the recipe {settings.recipe} is for another model; leave one of the two out"
        )


def _check_known(kind: str, name: str) -> None:
    if name not in RECIPES:
        raise SettingError(f"--{kind} {name}: unknown; choose one of {', '.join(RECIPES)}.{suggest(name, RECIPES)}")


def resolve(settings: Settings, task: Task) -> Settings:
    """Return the settings with the open ones filled in by the recipe, or by the recipe with the model's name.

    Raises
    ------
    SettingError
        There is no such model or recipe, or the values do not go together.
    """
    check_names(settings)
    own = RECIPES[settings.recipe or settings.model].settings(task)
    optimizer = settings.optimizer or own["optimizer"]
    if optimizer != own["optimizer"]:
        own = {name: value for name, value in own.items() if name not in (*TAKEN, "decay")}
    own = COMMON | OPTIMIZERS[optimizer].settings | own
    if settings.from_ is not None and task.small:
        # At the rates for new weights, few images undo what the other run has learned.
        own |= {name: own[name] * GENTLER for name in RATES if name in own}
    if settings.dtype != "float32":
        own["precision"] = "float32"
    if settings.early_stopping or settings.keep_best:
        # Both choose among the evaluations, and recipes leave most of them out to save time.
        own["evaluate_every"] = 1
    _check_halves(settings, own)
    missing = {name: value for name, value in own.items() if getattr(settings, name) is None}
    resolved = replace(settings, **missing)
    if known(resolved.warmup) >= known(resolved.epochs):
        raise SettingError(f"--warmup {resolved.warmup:g}: expected fewer epochs than --epochs {resolved.epochs}")
    if resolved.init != "kaiming" and not RECIPES[settings.model].convolutions:
        raise SettingError(f"--init {resolved.init}: the model {settings.model} has no convolutions")
    if resolved.shrink != 1 and "shrink" not in RECIPES[settings.model].settings(task):
        raise SettingError(f"--shrink {resolved.shrink}: the model {settings.model} does not shrink images; cnn does")
    return resolved


def without_defaults(settings: Settings, task: Task) -> Settings:
    """Return settings that `resolve` makes the same, in which nothing is given that it fills in anyway.

    Raises
    ------
    SettingError
        As by `resolve`.
    """
    whole = resolve(settings, task)
    for name, field in FIELDS.items():
        if getattr(settings, name) == field.default:
            continue
        default: dict[str, Any] = {name: field.default}
        with suppress(SettingError):  # another setting needs this one
            fewer = replace(settings, **default)
            if resolve(fewer, task) == whole:
                settings = fewer
    return settings


def _check_halves(settings: Settings, own: Mapping[str, Any]) -> None:
    """Raise a `SettingError` if only one of two settings that go together was given, and the recipe lacks the other."""
    for name, other in (("window", "window_share"), ("window_share", "window")):
        value = getattr(settings, name)
        if value and getattr(settings, other) is None and not own[other]:
            raise SettingError(f"{flag(name)} {value}: needs {flag(other)} too")
    eps = settings.whitening_eps
    if eps not in (None, own["whitening_eps"]) and (settings.first_layer or own["first_layer"]) != "whitening":
        raise SettingError(f"--whitening-eps {eps}: needs --first-layer whitening too")
