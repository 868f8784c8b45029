"""What is timed for each network: training steps with several update rules, and inference.

This module imports nothing that computes.
"""

from typing import Any, NamedTuple

OPTIMIZERS = {"sgd": "training", "momentum": "training, momentum 0.9", "adam": "training, Adam"}
"""The update rules, and the name of a step with each in tables."""
MOMENTUM = 0.9
RATES = {"sgd": 1e-3, "momentum": 1e-9, "adam": 1e-9}
"""Step sizes, for all contestants.

With momentum and Adam the weights hardly move. Otherwise the network would learn its only batch by heart, the gradient
would vanish, and the optimizer's state would become subnormal numbers, with which processors are slow.
"""


class Task(NamedTuple):
    """One row of a table.

    Attributes
    ----------
    kind : "training" or "inference"
    batch : images at once
    optimizer : a name of `OPTIMIZERS`, None for inference
    """

    kind: str
    batch: int
    optimizer: str | None

    @property
    def title(self) -> str:
        """Name of the task in tables."""
        return self.kind if self.optimizer is None else OPTIMIZERS[self.optimizer]


def tasks(network: Any) -> list[Task]:
    """Return what to time for one of `benchmarks.networks`: all update rules for MLPs, plain SGD for the others."""
    found = [Task("training", batch, "sgd") for batch in network.batches]
    if network.hidden:
        found += [Task("training", batch, rule) for rule in ("momentum", "adam") for batch in (1, 128)]
    return found + [Task("inference", batch, None) for batch in network.inference_batches]
