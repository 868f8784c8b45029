"""The callback that tells Optuna how a trial goes."""

import math
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from xnn.training.callbacks import Callback
from xnn.training.history import Row, is_judged

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer


class Pruning(Callback):
    """Reports each evaluation to an Optuna trial, and ends training where the trial should be pruned.

    Parameters
    ----------
    trial : optuna.Trial
        The study's pruner decides about it.
    metric : str
        Name of a column of the history. A study that maximizes goes with an accuracy, one that minimizes with a loss.
    told : container of int
        Epochs that were reported before, as of a run that goes on.

    Raises
    ------
    optuna.TrialPruned
        By `fit`, after the evaluation that decided; Optuna catches it.
    ValueError
        By `fit`, if the history has no such column after an epoch that was evaluated.

    Examples
    --------
    ::

        def objective(trial):
            settings = xnn.Settings(lr=trial.suggest_float("lr", 0.001, 0.1, log=True), validation=0.1)
            result = xnn.train(settings, callbacks=[Pruning(trial)], test=False)
            return result.history[-1]["validation_accuracy"]
    """

    def __init__(self, trial: Any, metric: str = "validation_accuracy", *, told: Container[int] = ()) -> None:
        self.trial = trial
        self.metric = metric
        self._told = told

    def fit_begin(self, trainer: "Trainer") -> None:
        """Report what a kill kept from being reported."""
        for row in trainer.history:
            if self.metric in row and row["epoch"] not in self._told:
                self._report(row)
        if trainer.history:
            self._judge(trainer)

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        """Report the epoch, and ask whether to go on."""
        if self.metric not in row:
            if is_judged(row["epoch"], trainer.evaluate_every, trainer.epochs):
                raise ValueError(f"pruning watches '{self.metric}'; the history has {', '.join(row)}")
            return
        self._report(row)
        self._judge(trainer)

    def _report(self, row: Row) -> None:
        value: Any = dict(row)[self.metric]
        self.trial.report(math.nan if value is None else value, row["epoch"])

    def _judge(self, trainer: "Trainer") -> None:
        # After the last epoch there is nothing left to save.
        if trainer.epoch < trainer.epochs and self.trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned(f"pruned after epoch {trainer.epoch}")
