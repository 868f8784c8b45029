"""When an estimator's training stops, as in scikit-learn: by the training loss, or by a score on held-out examples."""

from collections.abc import Callable
from typing import Any

from xnn import nn
from xnn.training import Callback, Trainer
from xnn.training.history import Row

_SLOWER, _SLOWEST = 5.0, 1e-6
"""Factor by which an adaptive learning rate falls, and the rate at which it stops."""


class Watch(Callback):
    """Stops when nothing has improved by `tol` for more than `patience` epochs.

    Parameters
    ----------
    patience
        Epochs; infinite never stops.
    tol
        What counts as better.
    score
        ``() -> float`` of the held-out examples, larger is better; the weights of its best epoch are put back at the
        end. Without it the training loss decides, and the last weights stay.
    adaptive
        Divide the learning rate by 5 instead of stopping, until it is below 1e-6.
    report
        Takes a line for each epoch.

    Attributes
    ----------
    best
        The best loss or score.
    scores : list of float
        One for each epoch.
    stopped : bool
        Whether it has.
    """

    def __init__(
        self,
        patience: float,
        tol: float,
        *,
        score: Callable[[], float] | None = None,
        adaptive: bool = False,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._patience, self._tol, self._score, self._adaptive, self._report = patience, tol, score, adaptive, report
        self.best: float | None = None
        self.scores: list[float] = []
        self.stopped = False
        self._since = 0
        self._kept: list[Any] = []

    def epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Compare the epoch with the best one, and stop or slow down if that is long ago."""
        value = -row["train_loss"]
        if self._score is not None:
            value = self._score()
            self.scores.append(value)
        self._tell(trainer, row)
        # A gain of less than `tol` moves the mark but is not waited for, as in scikit-learn.
        self._since = 0 if self.best is None or value >= self.best + self._tol else self._since + 1
        if self.best is None or value > self.best:
            self.best = value
            if self._score is not None:
                self._kept = [trainer.model.backend.xp.asarray(vector, copy=True) for vector in _weights(trainer.model)]
        if self._since <= self._patience:
            return
        self._since = 0
        if self._adaptive and trainer.optimizer.lr > _SLOWEST:
            trainer.optimizer.lr /= _SLOWER
            return
        self.stopped = True
        what = "training loss" if self._score is None else "validation score"
        trainer.request_stop(f"the {what} has not improved by {self._tol:g} for more than {self._patience:g} epochs")

    def fit_end(self, trainer: Trainer) -> None:
        """Put the best weights back, and say why training stopped."""
        if self._kept:
            for vector, kept in zip(_weights(trainer.model), self._kept, strict=True):
                vector[...] = kept
        if self._report is not None and trainer.stop_reason is not None:
            self._report(f"stopped: {trainer.stop_reason}")

    def _tell(self, trainer: Trainer, row: Row) -> None:
        if self._report is not None:
            score = f", validation score {self.scores[-1]:.4f}" if self.scores else ""
            self._report(f"epoch {row['epoch']}/{trainer.epochs}: training loss {row['train_loss']:.6f}{score}")


def _weights(model: nn.Layer) -> list[Any]:
    return [model.parameters.flat, model.buffers.flat]
