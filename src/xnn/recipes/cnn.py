"""Five convolutions with batch normalization, trained by Muon."""

from typing import Any

from xnn.tasks import Task


def cnn(task: Task) -> dict[str, Any]:
    """Return the settings of a convolutional network: the default for images.

    Of 6,000 training images of Fashion-MNIST, held out, 94.12 % were right after seven epochs, 93.95 % with batches of
    1,000 at a rate of 0.2, and 93.22 % with those if moved as well: grey images are not.
    """
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
    settings = {
        "init": "dirac",
        "optimizer": "muon",
        "lr": 0.14,
        "momentum": 0.6,
        "muon_steps": 3,
        "filter_norm": "fixed",
        "head_lr": 0.02,
        "bias_lr": 0.1,
        "sgd_momentum": 0.85,
        "weight_decay": 1e-4,
        "schedule": "linear",
        "batch_size": 500,
        "epochs": 8,
        "label_smoothing": 0.1,
        "augment": ("alternating-flip", "shift"),
        "test_views": 2,
        "evaluate_every": 4,
    }
    if task.grey:
        return settings | {"epochs": 6, "augment": ("alternating-flip",)}
    return settings
