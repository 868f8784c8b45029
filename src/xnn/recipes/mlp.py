"""Two hidden layers with batch normalization, trained on images that move and flip."""

from typing import Any

from xnn.tasks import Task


def mlp(task: Task) -> dict[str, Any]:
    """Return settings for a model that sees no neighbourhoods: augmentation has to show it what stays the same."""
    return {
        "optimizer": "adamw",
        "momentum": 0.0,
        "lr": 2e-3,
        "weight_decay": 0.05,
        "schedule": "one-cycle",
        "batch_size": 64 if task.small else 128,
        "epochs": 20 if task.grey else 30,
        "label_smoothing": 0.1,
        "augment": ("none",) if task.grey else ("flip", "shift"),
    }
