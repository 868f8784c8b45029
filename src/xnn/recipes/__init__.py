"""Recipes: each a network with all that it is trained by, in a file of its own.

A recipe serves a run that names it, and ``--model NAME`` stands for the recipe of that name; what is given to the
command or to `xnn.Settings` comes first. Another way to train a network is a recipe that is named after it, such as
``speed-long`` after ``speed``.
"""

from xnn import nn
from xnn.nn.initializers import Initializer, kaiming_normal, partial_dirac
from xnn.recipes import cnn, lab6, mlp, speed
from xnn.recipes.recipe import Recipe
from xnn.tasks import Task

__all__ = ["INITIALIZERS", "RECIPES", "Recipe", "network"]

RECIPES: dict[str, Recipe] = {"cnn": cnn.RECIPE, "mlp": mlp.RECIPE, "lab6": lab6.RECIPE, "speed": speed.RECIPE}
INITIALIZERS: dict[str, Initializer] = {"kaiming": kaiming_normal, "dirac": partial_dirac}
"""First values of the convolutions' filters, by the names that ``--init`` takes."""


def network(name: str, task: Task, hidden: int | None = None, init: str = "kaiming") -> nn.Sequential:
    """Return the network of a recipe, not yet built.

    Parameters
    ----------
    name : str
        One of `RECIPES`.
    task : Task
        What it is to learn.
    hidden : int, optional
        Width of the hidden layers, or of the first convolution; by default the recipe's for that task.
    init : str
        One of `INITIALIZERS`.
    """
    recipe = RECIPES[name]
    width = recipe.settings(task)["hidden"] if hidden is None else hidden
    return recipe.layers(task, width, INITIALIZERS[init])
