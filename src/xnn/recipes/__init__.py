"""Recipes: a named model with all that it is trained by, each in a file of a few lines.

A recipe is a function from a `xnn.tasks.Task` to settings. It serves a run that names it, and ``--model NAME`` stands
for the recipe of that name; what is given to the command or to `xnn.Settings` comes first. A recipe is named after its
model, as in ``speed``, or ``speed-long`` for another way to train it.
"""

from collections.abc import Callable
from typing import Any

from xnn.recipes.cnn import cnn
from xnn.recipes.lab6 import lab6
from xnn.recipes.mlp import mlp
from xnn.recipes.speed import speed
from xnn.tasks import Task

RECIPES: dict[str, Callable[[Task], dict[str, Any]]] = {"cnn": cnn, "mlp": mlp, "lab6": lab6, "speed": speed}


def names() -> list[str]:
    """Return the names of all recipes."""
    return list(RECIPES)
