"""What is timed of each network: training steps by several update rules, and inference.

Imports nothing that computes.
"""

from typing import Any, NamedTuple

OPTIMIZERS = {"sgd": "training", "momentum": "training, momentum 0.9", "adam": "training, Adam"}
"""The update rules, and what tables call a step with each."""
MOMENTUM = 0.9
RATES = {"sgd": 1e-3, "momentum": 1e-9, "adam": 1e-9}
"""Step sizes, for all contestants.

With momentum and Adam the weights hardly move. Otherwise the one batch would be learned by heart, its gradient vanish,
and what the optimizer keeps of it end among the subnormal numbers, with which processors are slow.
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
        """What tables call it."""
        return self.kind if self.optimizer is None else OPTIMIZERS[self.optimizer]


def tasks(network: Any) -> list[Task]:
    """Return what to time of one of `benchmarks.networks`; the MLPs have all update rules, the others plain SGD."""
    found = [Task("training", batch, "sgd") for batch in network.batches]
    if network.hidden:
        found += [Task("training", batch, rule) for rule in ("momentum", "adam") for batch in (1, 128)]
    return found + [Task("inference", batch, None) for batch in network.inference_batches]
