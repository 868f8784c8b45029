"""Two hidden layers with batch normalization; colour images are moved and flipped."""

from typing import Any

from xnn import nn
from xnn.nn.initializers import Initializer
from xnn.recipes.recipe import Recipe
from xnn.tasks import Task


def layers(task: Task, hidden: int, initializer: Initializer) -> nn.Sequential:
    """Return two hidden layers, each with batch normalization."""

    def block() -> list[nn.Layer]:
        return [nn.Linear(hidden, bias=False), nn.BatchNorm(), nn.ReLU()]

    return nn.Sequential(nn.Flatten(), *block(), *block(), nn.Linear(task.classes))


def settings(task: Task) -> dict[str, Any]:
    """Return settings for a model that sees no neighbourhoods, so that augmentation has to show what stays the same.

    Grey images are used as they are: of 6,000 held-out training images of Fashion-MNIST, the recipe got 91.5 % right,
    90.7 % if the other images were moved by a pixel, 91.1 % if squares of them were blanked, and 91.3 % if they were
    mirrored.
    """
    chosen = {
        "hidden": 128 if task.small else 768 if task.grey else 1024,
        "optimizer": "adamw",
        "lr": 2e-3 if task.small else 3e-3,
        "weight_decay": 0.2 if task.grey and not task.small else 0.05,
        "schedule": "one-cycle",
        "batch_size": 64 if task.small else 256,
        "label_smoothing": 0.1,
    }
    if task.grey:
        return chosen | {"epochs": 20}
    return chosen | {"epochs": 30 if task.small else 60, "augment": ("flip", "shift"), "test_views": 6}


RECIPE = Recipe("two hidden layers", settings, layers)
