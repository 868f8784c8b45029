"""Convolutions that make the image smaller, each with batch normalization, trained by Muon: the default."""

from typing import Any

from xnn import nn
from xnn.nn.initializers import Initializer
from xnn.recipes.recipe import Recipe
from xnn.tasks import Task


def layers(task: Task, hidden: int, initializer: Initializer) -> nn.Sequential:
    """Return five convolutions, or two for tiny images."""

    def convolution(channels: int, pool: bool) -> list[nn.Layer]:
        filters = nn.Conv2d(channels, 3, padding=1, bias=False, weight_initializer=initializer)
        # Pooling comes before the layers that compute each pixel, so that they have a quarter of the pixels.
        return [filters, *([nn.MaxPool2d(2)] if pool else []), nn.BatchNorm(), nn.ReLU()]

    # Multiples of the width, and whether the image is halved there: CIFAR's 32 x 32 pixels become 4 x 4.
    plan = [(1, False), (2, True)] if task.tiny else [(1, True), (2, True), (2, False), (4, True), (4, False)]
    blocks = [layer for factor, pool in plan for layer in convolution(factor * hidden, pool)]
    summary = nn.Flatten() if task.tiny else nn.GlobalMaxPool2d()
    return nn.Sequential(*blocks, summary, nn.Linear(task.classes))


def settings(task: Task) -> dict[str, Any]:
    """Return the settings of a convolutional network: the default for images.

    Of 6,000 held-out training images of Fashion-MNIST, 94.12 % were right after seven epochs, 93.95 % with batches of
    1,000 at a rate of 0.2, and 93.22 % if images were moved as well; so grey images are not moved.
    """
    hidden = 16 if task.tiny else 48 if task.grey else 64
    if task.small:
        return {
            "hidden": hidden,
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
        "hidden": hidden,
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
        "epochs": 6 if task.grey else 8,
        "label_smoothing": 0.1,
        "augment": ("alternating-flip",) if task.grey else ("alternating-flip", "shift"),
        "test_views": 2,
        "evaluate_every": 4,
    }


RECIPE = Recipe("two or five convolutions", settings, layers, convolutions=True)
