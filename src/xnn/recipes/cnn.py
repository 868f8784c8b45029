"""Convolutions with batch normalization, by one cycle of Nesterov's momentum."""

from typing import Any

from xnn.models import Task


def cnn(task: Task) -> dict[str, Any]:
    """Return the settings of a convolutional network: the default for images."""
    return {
        "optimizer": "sgd",
        "momentum": 0.9,
        "lr": 0.1,
        "weight_decay": 5e-4,
        "schedule": "one-cycle",
        "batch_size": 32 if task.small else 128,
        "epochs": 10,
        "label_smoothing": 0.0 if task.small else 0.1,
        "augment": ("none",) if task.grey else ("alternating-flip", "crop"),
        "test_views": 1 if task.grey else 2,
    }
