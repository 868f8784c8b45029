"""Callbacks, and stopping early."""

import math
from typing import TYPE_CHECKING

from xnn import _checks
from xnn.training.history import Row

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer


class Callback:
    """Base of the callbacks: override what you need. Call ``trainer.request_stop(reason)`` to stop."""

    def fit_begin(self, trainer: "Trainer") -> None:
        """Before the first step of a `fit`."""

    def epoch_begin(self, trainer: "Trainer") -> None:
        """Before the first step of an epoch or, after a resume, of the rest of one."""

    def step_end(self, trainer: "Trainer") -> None:
        """After every step, and after the `interval` due at that step; costs nothing unless it is overridden."""

    def interval(self, trainer: "Trainer", row: Row) -> None:
        """Every `log_every` steps; ``row`` has ``epoch, step, passes, minibatch_loss, interval_loss, lr``.

        If the loss is scaled, it also has ``loss_scale`` and ``skipped_steps`` (of all training). ``passes``, a real
        number, is how many times the data has been seen, ``minibatch_loss`` the loss of the step's own batch, and
        ``interval_loss`` the mean over the images since the last interval.
        """

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        """After an epoch and its evaluation; ``row`` is the history's newest row."""

    def fit_end(self, trainer: "Trainer") -> None:
        """After the last step, even if training was stopped, but not after an error."""


class EarlyStopping(Callback):
    """Stops when a metric has not improved for some epochs.

    It looks at the whole history each time, so there is no state to save.

    Parameters
    ----------
    patience
        Epochs to wait for a better value.
    metric
        Name of a column of the history; accuracies should grow, everything else should fall.
    """

    def __init__(self, patience: int, metric: str = "validation_loss") -> None:
        _checks.count("patience", patience, 1)
        self.patience = patience
        self.metric = metric

    def fit_begin(self, trainer: "Trainer") -> None:
        """Stop at once if the history says so: the process may have been killed between its last row and the end."""
        self._judge(trainer)

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        """Stop if the best value is `patience` epochs old."""
        if row.get(self.metric) is None:
            raise ValueError(f"early stopping watches '{self.metric}'; the history has {', '.join(row)}")
        self._judge(trainer)

    def _judge(self, trainer: "Trainer") -> None:
        sign = -1.0 if self.metric.endswith("accuracy") else 1.0
        best, age = math.inf, 0
        for value in trainer.history.column(self.metric):
            if value is None:  # of an epoch without validation
                continue
            best, age = (sign * value, 0) if sign * value < best else (best, age + 1)
        if age >= self.patience:
            trainer.request_stop(f"{self.metric} has not improved for {age} epochs")
