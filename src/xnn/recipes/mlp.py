"""Two hidden layers with batch normalization; colour images move and flip."""

from typing import Any

from xnn.tasks import Task


def mlp(task: Task) -> dict[str, Any]:
    """Return settings for a model that sees no neighbourhoods: augmentation has to show it what stays the same.

    Grey images are taken as they are: of 6,000 training images of Fashion-MNIST, held out, the recipe got 91.5 %
    right, 90.7 % where the others were moved by a pixel, 91.1 % where squares of them were blanked, and 91.3 % where
    they were mirrored.
    """
    settings = {
        "optimizer": "adamw",
        "momentum": 0.0,
        "lr": 2e-3 if task.small else 3e-3,
        "weight_decay": 0.2 if task.grey and not task.small else 0.05,
        "schedule": "one-cycle",
        "batch_size": 64 if task.small else 256,
        "label_smoothing": 0.1,
    }
    if task.grey:
        return settings | {"epochs": 20, "augment": ("none",)}
    return settings | {"epochs": 30 if task.small else 60, "augment": ("flip", "shift"), "test_views": 6}
