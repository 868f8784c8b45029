"""Residual blocks for photographs of some hundred pixels a side, few enough to be trained on a CPU."""

from typing import Any

from xnn import nn
from xnn.nn.initializers import Initializer
from xnn.recipes.recipe import Recipe
from xnn.tasks import Task


def layers(task: Task, hidden: int, initializer: Initializer) -> nn.Sequential:
    """Return a stem, four residual blocks, and a linear map of the mean over all pixels.

    K. He et al., "Deep residual learning for image recognition", 2016, with one block a stage. The stem makes an
    image of 224 pixels a quarter as wide, by a stride and a pooling; smaller images go without one of them, or both.
    """
    side = min(task.image_shape[:2])

    def filters(channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        return nn.Conv2d(
            channels, kernel, stride=stride, padding=kernel // 2, bias=False, weight_initializer=initializer
        )

    def block(channels: int, stride: int) -> list[nn.Layer]:
        body = [filters(channels, 3, stride), nn.BatchNorm(), nn.ReLU(), filters(channels, 3), nn.BatchNorm()]
        shortcut = nn.Sequential(filters(channels, 1, stride), nn.BatchNorm()) if stride > 1 else None
        return [nn.Residual(nn.Sequential(*body), shortcut), nn.ReLU()]

    pooling = [nn.MaxPool2d(2)] if side >= 128 else []
    # Pooling comes before what is computed for each pixel, so that this has a quarter of the pixels.
    stem = [filters(hidden, 5, 2 if side >= 64 else 1), *pooling, nn.BatchNorm(), nn.ReLU()]
    blocks = [layer for factor, stride in ((1, 1), (2, 2), (4, 2), (8, 2)) for layer in block(factor * hidden, stride)]
    return nn.Sequential(*stem, *blocks, nn.GlobalAvgPool2d(), nn.Linear(task.classes))


def settings(task: Task) -> dict[str, Any]:
    """Return settings for photographs, of which there are often few: many epochs, each of other sections of them."""
    return {
        "hidden": 32,
        "optimizer": "sgd",
        "momentum": 0.9,
        "lr": 0.05 if task.small else 0.1,
        "weight_decay": 5e-4,
        "schedule": "one-cycle",
        "batch_size": 32 if task.small else 128,
        "epochs": 30 if task.small else 20,
        "label_smoothing": 0.1,
        "augment": ("none",) if task.grey else ("alternating-flip", "resized-crop"),
        "test_views": 1 if task.grey else 2,
    }


RECIPE = Recipe("a stem and four residual blocks", settings, layers, convolutions=True)
