"""Callbacks, and stopping early."""

from typing import TYPE_CHECKING

from xnn import _checks
from xnn._notes import note
from xnn._typing import Array
from xnn.training.history import History, IntervalRow, Row, is_judged

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer


class Callback:
    """Base of the callbacks: override what you need. Call ``trainer.request_stop(reason)`` to stop.

    Examples
    --------
    >>> from xnn import nn, optim, training
    >>> class StopWhenGood(training.Callback):
    ...     def epoch_end(self, trainer, row):
    ...         if row["train_loss"] < 0.5:
    ...             trainer.request_stop("good enough")
    >>> model = nn.Linear(2, weight_initializer=nn.initializers.zeros).build((1,), backend="numpy")
    >>> trainer = training.Trainer(model, optim.SGD(model, lr=1.0), callbacks=[StopWhenGood()])
    >>> history = trainer.fit(([[-1.0], [1.0]], [0, 1]), epochs=100)
    >>> len(history), trainer.stop_reason
    (2, 'good enough')
    """

    def fit_begin(self, trainer: "Trainer") -> None:
        """Before the first step of a `fit`."""

    def epoch_begin(self, trainer: "Trainer") -> None:
        """Before the first step of an epoch or, after a resume, of the rest of one."""

    def step_end(self, trainer: "Trainer") -> None:
        """After every step, and after the `interval` due at that step; costs nothing unless it is overridden."""

    def interval(self, trainer: "Trainer", row: IntervalRow) -> None:
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
    """Stops when a metric has not improved for some evaluations.

    Epochs without an evaluation, as the trainer's `evaluate_every` has them, are passed over. It looks at the history
    each time, so there is no state to save. Epochs of earlier calls of `fit` count only if this one goes on with them,
    by ``until``.

    Parameters
    ----------
    patience
        Evaluations to wait for a better value. One without a value, None or NaN in the history, is not
        better.
    metric
        Name of a column of the history.
    rises
        Whether larger values are better. By default they are for accuracies, and for everything else smaller ones.
    restore_best
        Give the model the weights of the best epoch that was evaluated at the end, whether training was stopped or not;
        the average of the weights too, where there is one. They are kept in memory: if the best epoch was before a
        resume in another process, the last weights stay, and a line of the logger ``xnn`` says so.

    Raises
    ------
    ValueError
        By `fit`, after the first evaluation, if the history has no such column.

    Examples
    --------
    >>> from xnn import nn, optim, training
    >>> model = nn.Linear(2, weight_initializer=nn.initializers.zeros).build((1,), backend="numpy")
    >>> stop = training.EarlyStopping(2, "validation_loss", restore_best=True)
    >>> trainer = training.Trainer(model, optim.SGD(model, lr=1.0), callbacks=[stop])
    >>> history = trainer.fit(([[1.0]], [0]), ([[1.0]], [1]), epochs=100)  # what is learned is wrong here
    >>> len(history), history.best("validation_loss"), trainer.stop_reason
    (3, 1, 'validation_loss has not improved for 2 epochs')
    """

    def __init__(
        self,
        patience: int,
        metric: str = "validation_loss",
        *,
        rises: bool | None = None,
        restore_best: bool = False,
    ) -> None:
        _checks.count("patience", patience, 1)
        self.patience = patience
        self.metric = metric
        self.rises = metric.endswith("accuracy") if rises is None else _checks.flag("rises", rises)
        self.restore_best = _checks.flag("restore_best", restore_best)
        self._kept: tuple[tuple[float, ...], list[Array]] | None = None

    def fit_begin(self, trainer: "Trainer") -> None:
        """Stop at once if the history says so: the process may have been killed between its last row and the end."""
        self._judge(trainer)

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        """Stop if the best value is `patience` evaluations old."""
        if self.metric not in row:
            if not is_judged(row["epoch"], trainer.evaluate_every, trainer.epochs):
                return
            raise ValueError(f"early stopping watches '{self.metric}'; the history has {', '.join(row)}")
        if self.restore_best and self._best(trainer) == row["epoch"]:
            copy = trainer.model.backend.xp.asarray
            self._kept = _mark(row), [copy(vector, copy=True) for vector in _weights(trainer)]
        self._judge(trainer)

    def fit_end(self, trainer: "Trainer") -> None:
        """Put the best weights back, unless training is to be resumed."""
        best = self._best(trainer)
        if not self.restore_best or trainer.interrupted or best is None:
            return
        # What is kept may also be of an earlier call, or of another state of the trainer.
        if self._kept is None or self._kept[0] != _mark(trainer.history[best - 1]):
            note(f"the weights of epoch {best}, the best by {self.metric}, are not in memory: the last ones stay")
            return
        for vector, kept in zip(_weights(trainer), self._kept[1], strict=True):
            vector[...] = kept

    def _best(self, trainer: "Trainer") -> int | None:
        return History(trainer.history[trainer.first_epoch :]).best(self.metric, rises=self.rises)

    def _judge(self, trainer: "Trainer") -> None:
        best = self._best(trainer)
        since = trainer.history[trainer.first_epoch if best is None else best :]
        if sum(self.metric in row for row in since) >= self.patience:
            trainer.request_stop(f"{self.metric} has not improved for {len(since)} epoch{'s' * (len(since) > 1)}")


def _mark(row: Row) -> tuple[float, ...]:
    """Return what tells an epoch from that of another training; other callbacks may add to the row itself."""
    return row["epoch"], row["train_loss"], row["seconds"]


def _weights(trainer: "Trainer") -> list[Array]:
    """Return the vectors that evaluation depends on."""
    average = [] if trainer.average is None else list(trainer.average.average)
    return [trainer.model.parameters.flat, trainer.model.buffers.flat, *average]
