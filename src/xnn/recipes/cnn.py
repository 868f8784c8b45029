"""Five convolutions with batch normalization, trained by Muon."""

from typing import Any

from xnn.tasks import Task


def cnn(task: Task) -> dict[str, Any]:
    """Return the settings of a convolutional network: the default for images."""
    if task.small:
        return {
            "optimizer": "sgd",
            "momentum": 0.9,
            "lr": 0.1,
            "weight_decay": 5e-4,
            "schedule": "one-cycle",
            "batch_size": 32,
            "epochs": 10,
            "augment": ("none",) if task.grey else ("alternating-flip", "crop"),
        }
    return {
        "init": "dirac",
        "optimizer": "muon",
        "lr": 0.2,
        "momentum": 0.6,
        "muon_steps": 3,
        "filter_norm": "fixed",
        "head_lr": 0.02,
        "bias_lr": 0.1,
        "sgd_momentum": 0.85,
        "weight_decay": 1e-4,
        "schedule": "linear",
        "batch_size": 1000,
        "epochs": 10 if task.grey else 12,
        "label_smoothing": 0.1,
        "augment": ("alternating-flip", "shift"),
        "test_views": 2,
        "evaluate_every": 4,
    }
