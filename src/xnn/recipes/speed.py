"""The public 94 % record on CIFAR-10: whitened patches, filters by Muon, the rest by SGD.

The numbers are those of K. Jordan's "airbench94_muon" (https://github.com/KellerJordan/cifar10-airbench, 2024).
"""

from typing import Any

from xnn.data.whitening import WHITENING_EPS
from xnn.tasks import Task

_FEATURES = 256
"""Inputs of the last layer. The record divides its outputs by that number; here the weights are so much smaller."""


def speed(task: Task) -> dict[str, Any]:
    """Return the record's settings.

    Its loss is a sum over the batch, here it is the mean: SGD's learning rates are multiplied by the batch size. Per
    step it takes the share ``2e-6 * batch`` of biases and last layer, here ``lr * weight_decay`` of all.

    Where it departs from the record: noise in colour images (docs/results.md) is blown up less, and a hundred classes
    are learned in smaller batches, with more decay, for longer.
    """
    many = task.classes >= 100
    batch = 100 if task.small else 1000 if many else 2000
    lr = 0.17 if many else 0.24
    return {
        "init": "dirac",
        "first_layer": "whitening",
        "whitening_eps": WHITENING_EPS if task.grey else 5e-3,
        "first_bias_epochs": 3,
        "optimizer": "muon",
        "lr": lr,
        "momentum": 0.6,
        "muon_steps": 3,
        "filter_norm": "fixed",
        "head_lr": 0.67 * batch / _FEATURES**2,
        "bias_lr": 0.053 * batch,
        "sgd_momentum": 0.85,
        "weight_decay": (5e-6 if many else 2e-6) * batch / lr,
        "decay": "all",
        "schedule": "linear",
        "batch_size": batch,
        "epochs": 16 if many else 8,
        "label_smoothing": 0.2,
        "augment": ("none",) if task.grey and task.small else ("alternating-flip", "shift"),
        "test_views": 1 if task.grey and task.small else 6,
        # A look at the test images takes as long as a tenth of an epoch.
        "evaluate_every": 4,
    }
