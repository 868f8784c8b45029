"""Recipes: a named model with all that it is trained by, each in a file of a few lines.

A recipe is a function from a `xnn.models.Task` to settings. They come before the model's own, and after what is given
to the command or to `xnn.Settings`. A recipe is named after its model, as in ``speed``, or ``speed-long`` for another
way to train it.
"""

from collections.abc import Callable
from typing import Any

from xnn import models
from xnn.errors import SettingError, suggest
from xnn.models import Task
from xnn.recipes.cnn import cnn
from xnn.recipes.lab6 import lab6
from xnn.recipes.mlp import mlp
from xnn.recipes.speed import speed
from xnn.training.settings import Settings

RECIPES: dict[str, Callable[[Task], dict[str, Any]]] = {"cnn": cnn, "mlp": mlp, "lab6": lab6, "speed": speed}


def names() -> list[str]:
    """Return the names of all recipes."""
    return list(RECIPES)


def check_name(settings: Settings) -> None:
    """Raise a `SettingError` if no recipe has the name that is given, or it is of another model than is given."""
    name = settings.recipe
    if name is None:
        return
    if name not in RECIPES:
        raise SettingError(f"--recipe {name}: unknown; choose one of {', '.join(RECIPES)}.{suggest(name, RECIPES)}")
    if settings.model != name.partition("-")[0]:
        raise SettingError(f"--model {settings.model}: the recipe {name} is of another; leave one of the two out")


def resolve(settings: Settings, task: Task) -> Settings:
    """Return the settings with what was left to the recipe and the model filled in.

    Raises
    ------
    SettingError
        There is no such recipe or model, or the values do not go together.
    """
    check_name(settings)
    return models.resolve(settings, task, RECIPES[settings.recipe](task) if settings.recipe else None)
