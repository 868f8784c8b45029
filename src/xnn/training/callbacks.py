"""What may happen beside training: saving, stopping early, writing rows down."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from xnn.errors import NonFiniteLoss
from xnn.files import Folder, append
from xnn.training import checkpoints, json_files
from xnn.training.every import Every
from xnn.training.history import Row

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer


class Callback:
    """Base of the callbacks: override what you need. Call ``trainer.request_stop(reason)`` to stop.

    Attributes
    ----------
    only_watches : bool
        Of a class that has its own `step_end` or `interval`: whether these leave weights and data as they are. Image by
        image, a step can begin the next one while it updates the weights, if all callbacks only watch.
    """

    only_watches = False

    def fit_begin(self, trainer: "Trainer") -> None:
        """Before the first step of a `fit`."""

    def epoch_begin(self, trainer: "Trainer") -> None:
        """Before the first step of an epoch, or of the rest of one after a resume."""

    def step_end(self, trainer: "Trainer") -> None:
        """After every step, and after the `interval` that is due then; costs nothing where it is not overridden."""

    def interval(self, trainer: "Trainer", row: Row) -> None:
        """Every `log_every` steps; ``row`` has ``epoch, step, passes, minibatch_loss, interval_loss, lr``.

        Where the loss is scaled, it has ``loss_scale`` and ``skipped_steps`` (of all training) too. ``passes`` is how
        often the data has been gone through, a real number, ``minibatch_loss`` the loss of the step's own batch,
        ``interval_loss`` the mean over the images since the last interval.
        """

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        """After an epoch and its evaluation; ``row`` is the history's newest."""

    def fit_end(self, trainer: "Trainer") -> None:
        """After the last step, also when stopped; not after an error."""


def step_hooks_of(callbacks: Sequence[Callback]) -> "list[Callable[[Trainer], None]]":
    """Return the `step_end` of those callbacks that have one of their own."""
    return [callback.step_end for callback in callbacks if type(callback).step_end is not Callback.step_end]


class Checkpoint(Callback):
    """Saves the trainer's whole state after each epoch, every so often inside one, and where it was stopped.

    Parameters
    ----------
    directory
        Where the files go; made if it does not exist. Of a `xnn.files.Folder`, which is open already, it is noticed if
        somebody deletes or renames it.
    keep
        How many of the newest stay.
    data
        JSON-able facts about the data, kept under ``data`` in each checkpoint's description: whoever resumes can
        compare them.
    every
        How often to save inside an epoch: ``"500"`` steps, or a time as ``"90s"``, ``"10m"``, ``"2h"``; ``"0"`` for
        never.
    made_with
        JSON-able facts about what computes, kept under ``made_with`` likewise.
    """

    only_watches = True

    def __init__(
        self,
        directory: str | Path | Folder,
        keep: int = 3,
        data: Mapping[str, Any] | None = None,
        *,
        every: str = "0",
        made_with: Mapping[str, Any] | None = None,
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep must be 1 or more, not {keep}")
        self.directory = directory if isinstance(directory, Folder) else Path(directory)
        self.keep = keep
        self.data = data
        self.every = Every.parse(every)
        self.made_with = made_with
        self._due = math.inf

    def fit_begin(self, trainer: "Trainer") -> None:
        """From now on the time runs."""
        self._wait()

    def step_end(self, trainer: "Trainer") -> None:
        """Save if it is time to."""
        steps = self.every.steps
        if monotonic() >= self._due if steps is None else trainer.step % steps == 0:
            self.save(trainer)

    def _wait(self) -> None:
        if self.every.seconds is not None:
            self._due = monotonic() + self.every.seconds

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        """Save."""
        self.save(trainer)

    def fit_end(self, trainer: "Trainer") -> None:
        """Save where an epoch was begun and not finished."""
        if trainer.batch:
            self.save(trainer)

    def save(self, trainer: "Trainer") -> Path:
        """Write a checkpoint of this moment, and delete those that are too old.

        Raises
        ------
        NonFiniteLoss
            The last step made a weight NaN or infinite; nothing is written then.
        """
        arrays, info = trainer.state_dict()
        if not np.isfinite(arrays["parameters"]).all():
            raise NonFiniteLoss(
                f"a weight became NaN or infinite in epoch {info['epoch'] + 1}, step {info['step']}: "
                f"try a lower --lr than {trainer.peak_lr:g}, or --clip-norm 1"
            )
        if self.data is not None:
            info["data"] = dict(self.data)
        if self.made_with is not None:
            info["made_with"] = dict(self.made_with)
        path = checkpoints.save(self.directory, arrays, info)
        checkpoints.prune(self.directory, self.keep, path)
        self._wait()
        return path


class EarlyStopping(Callback):
    """Stops when a metric has not become better for some epochs.

    It looks at the whole history each time, so there is no state to save.

    Parameters
    ----------
    patience
        Epochs to wait for a better value.
    metric
        Name of a column of the history; an accuracy is to grow, anything else to fall.
    """

    def __init__(self, patience: int, metric: str = "validation_loss") -> None:
        if patience < 1:
            raise ValueError(f"patience must be 1 or more, not {patience}")
        self.patience = patience
        self.metric = metric

    def fit_begin(self, trainer: "Trainer") -> None:
        """Stop if the history says so already: a kill may have come between its last row and the end."""
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
            trainer.request_stop(f"{self.metric} has not become better for {age} epochs")


class JsonLines(Callback):
    """Appends a line of JSON to a file for each epoch, and to another for each interval; flushed at once.

    Parameters
    ----------
    epochs, intervals
        The files; None for either leaves it out.

    Raises
    ------
    RunError
        When a line cannot be written, as on a full disk.
    """

    only_watches = True

    def __init__(self, epochs: str | Path | None, intervals: str | Path | None = None) -> None:
        self.epochs = None if epochs is None else Path(epochs)
        self.intervals = None if intervals is None else Path(intervals)

    def interval(self, trainer: "Trainer", row: Row) -> None:
        """Write the interval's line."""
        _append(self.intervals, row)

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        """Write the epoch's line."""
        _append(self.epochs, row)


def _append(path: Path | None, row: Row) -> None:
    if path is not None:
        append(path, json_files.line(row))
