"""The lab's network, trained by the lab's protocol: one image per step, plain gradient descent, an L2 penalty.

For plain gradient descent the penalty is the same as weight decay, which the optimizer applies in its own pass over
the weights.
"""

from typing import Any

from xnn import nn
from xnn.nn.initializers import Initializer
from xnn.recipes.recipe import Recipe
from xnn.tasks import Task


def layers(task: Task, hidden: int, initializer: Initializer) -> nn.Sequential:
    """Return one hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(hidden), nn.ReLU(), nn.Linear(task.classes))


def settings(task: Task) -> dict[str, Any]:
    """Return the lab's settings: one epoch for grey images, 20 for colour images."""
    return {
        "hidden": 1024 if task.classes >= 100 else 128 if task.inputs <= 1000 else 256,
        "optimizer": "sgd",
        "momentum": 0.0,
        "lr": 1e-3 if task.small else 1e-4,
        "batch_size": 1,
        "epochs": 1 if task.grey and not task.small else 20,
        "weight_decay": 1e-3,
    }


RECIPE = Recipe("one hidden layer", settings, layers)
