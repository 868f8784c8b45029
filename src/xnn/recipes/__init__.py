"""Recipes: each is a network with all its training settings, in a file of its own.

A run uses the recipe that it names, and ``--model NAME`` stands for the recipe of that name; settings given to the
command or to `xnn.Settings` take precedence. Another way to train a network is a recipe that is named after it, such as
``speed-long`` after ``speed``.
"""

from xnn import nn
from xnn.nn.initializers import Initializer, kaiming_normal, partial_dirac
from xnn.recipes import cnn, lab6, mlp, residual, speed
from xnn.recipes.recipe import Recipe
from xnn.tasks import Task

__all__ = ["INITIALIZERS", "RECIPES", "Recipe", "network"]

RECIPES: dict[str, Recipe] = {
    "cnn": cnn.RECIPE,
    "mlp": mlp.RECIPE,
    "lab6": lab6.RECIPE,
    "speed": speed.RECIPE,
    "residual": residual.RECIPE,
}
INITIALIZERS: dict[str, Initializer] = {"kaiming": kaiming_normal, "dirac": partial_dirac}
"""Initial values of the convolutions' filters, by the names that ``--init`` takes."""


def network(
    name: str, task: Task, hidden: int | None = None, init: str = "kaiming", shrink: int | None = None
) -> nn.Sequential:
    """Return the network of a recipe, not yet built.

    Parameters
    ----------
    name : str
        One of `RECIPES`.
    task : Task
        What the network should learn.
    hidden : int, optional
        Width of the hidden layers, or of the first convolution; by default the recipe's width for that task.
    init : str
        One of `INITIALIZERS`.
    shrink : int, optional
        How many times smaller images are made at the beginning, for a network that can; by default the recipe's for
        that task.

    Examples
    --------
    >>> from xnn.recipes import network
    >>> from xnn.tasks import Task
    >>> task = Task("digits", image_shape=(8, 8, 1), classes=10, images=1437)
    >>> model = network("mlp", task, hidden=64).build(task.image_shape, backend="numpy")
    >>> model.summary().parameters
    9098
    """
    recipe = RECIPES[name]
    own = recipe.settings(task)
    width = own["hidden"] if hidden is None else hidden
    if "shrink" not in own:
        return recipe.layers(task, width, INITIALIZERS[init])
    return recipe.layers(task, width, INITIALIZERS[init], own["shrink"] if shrink is None else shrink)
