"""scikit-learn's MLPClassifier: training steps of networks with affine layers and ReLU."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.peers_xnn import random_batch
from benchmarks.tasks import MOMENTUM, RATES

STEPS = 16
"""Steps per call: checking its arguments costs as much as a step, and a training loop does it once for many batches."""


def variants(network: Any, task: Any) -> dict[str, Callable[[], object]]:
    """Return a function that trains on `STEPS` batches, or nothing for inference and networks that are not MLPs."""
    if not network.hidden or task.kind != "training":
        return {}
    images, labels = random_batch(network, task.batch * STEPS)
    x = images.reshape(len(images), -1).astype(np.float32)
    classifier = MLPClassifier(
        network.hidden,
        solver="adam" if task.optimizer == "adam" else "sgd",
        learning_rate_init=RATES[task.optimizer],
        momentum=MOMENTUM if task.optimizer == "momentum" else 0.0,
        nesterovs_momentum=False,
        alpha=0.0,
        batch_size=task.batch,
        shuffle=False,
        random_state=0,
    )
    classifier.partial_fit(x, labels, classes=np.arange(network.classes))
    return {"": lambda: classifier.partial_fit(x, labels)}
