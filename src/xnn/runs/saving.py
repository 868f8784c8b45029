"""Callbacks that write to disk: checkpoints, and the rows of the history."""

import math
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from xnn import _checks
from xnn.errors import NonFiniteLoss
from xnn.files import Folder, append
from xnn.runs import checkpoints, json_files
from xnn.runs.every import Every
from xnn.training.callbacks import Callback
from xnn.training.history import Row
from xnn.training.trainer import Trainer


class Checkpoint(Callback):
    """Saves the trainer's whole state after each epoch, every so often inside one, and where it was stopped.

    Parameters
    ----------
    directory
        Where the files go; made if it does not exist. If it is an open `xnn.files.Folder`, it is noticed when somebody
        deletes or renames it.
    keep
        How many of the newest to keep.
    data
        JSON-able facts about the data, kept under ``data`` in each checkpoint's description: whoever resumes can
        compare them.
    every
        How often to save inside an epoch: ``"500"`` steps, or a time as ``"90s"``, ``"10m"``, ``"2h"``; ``"0"`` for
        never.
    made_with
        JSON-able facts about what computes, kept under ``made_with`` likewise.
    model
        A JSON-able description of the model, kept under ``model`` likewise: what it takes to use the checkpoint alone.
    """

    def __init__(
        self,
        directory: str | Path | Folder,
        keep: int = 3,
        data: Mapping[str, Any] | None = None,
        *,
        every: str = "0",
        made_with: Mapping[str, Any] | None = None,
        model: Mapping[str, Any] | None = None,
    ) -> None:
        _checks.count("keep", keep, 1)
        self.directory = directory if isinstance(directory, Folder) else Path(directory)
        self.keep = keep
        self.every = Every.parse(every)
        self.facts = {"data": data, "made_with": made_with, "model": model}
        self._due = math.inf

    def fit_begin(self, trainer: Trainer) -> None:
        """Start the clock."""
        self._wait()

    def step_end(self, trainer: Trainer) -> None:
        """Save if it is time to."""
        steps = self.every.steps
        if monotonic() >= self._due if steps is None else trainer.step % steps == 0:
            self.save(trainer)

    def _wait(self) -> None:
        if self.every.seconds is not None:
            self._due = monotonic() + self.every.seconds

    def epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Save."""
        self.save(trainer)

    def fit_end(self, trainer: Trainer) -> None:
        """Save where an epoch was begun and not finished."""
        if trainer.batch:
            self.save(trainer)

    def save(self, trainer: Trainer) -> Path:
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
        info |= {name: dict(facts) for name, facts in self.facts.items() if facts is not None}
        path = checkpoints.save(self.directory, arrays, info)
        checkpoints.prune(self.directory, self.keep, path)
        self._wait()
        return path


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

    def __init__(self, epochs: str | Path | None, intervals: str | Path | None = None) -> None:
        self.epochs = None if epochs is None else Path(epochs)
        self.intervals = None if intervals is None else Path(intervals)

    def interval(self, trainer: Trainer, row: Row) -> None:
        """Write the interval's line."""
        _append(self.intervals, row)

    def epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Write the epoch's line."""
        _append(self.epochs, row)


def _append(path: Path | None, row: Row) -> None:
    if path is not None:
        append(path, json_files.line(row))
