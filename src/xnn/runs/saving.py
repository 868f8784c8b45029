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
from xnn.training.history import IntervalRow, Row
from xnn.training.trainer import Trainer


class Checkpoint(Callback):
    """Saves the trainer's whole state after each epoch, at intervals within an epoch, and where training was stopped.

    Of several ranks that train together, the first one writes; all of them must have this callback.

    Parameters
    ----------
    directory
        Where the files go; made if it does not exist. With an open `xnn.files.Folder`, it is an error if somebody
        deletes or renames the folder.
    keep
        How many of the newest to keep.
    data
        JSON-able facts about the data, kept under ``data`` in each checkpoint's description, for comparison when
        resuming.
    every
        How often to save within an epoch: ``"500"`` steps, or a time such as ``"90s"``, ``"10m"``, ``"2h"``; ``"0"``
        for never.
    made_with
        JSON-able facts about what computes, kept under ``made_with`` likewise.
    best
        Name of a column of the history: the checkpoint of the epoch that has its lowest value is kept too.
    at_start
        Whether to save before the first step too, for a run that begins with weights that may be gone later.
    model
        A JSON-able description of the model, kept under ``model`` likewise: what it takes to use the checkpoint alone.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import xnn
    >>> from xnn import nn, optim
    >>> model = nn.Linear(2).build((1,), backend="numpy")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trainer = xnn.Trainer(model, optim.SGD(model, lr=0.1), callbacks=[xnn.runs.Checkpoint(folder, keep=2)])
    ...     history = trainer.fit(([[-1.0], [1.0]], [0, 1]), epochs=3)
    ...     len(list(Path(folder).glob("*.safetensors")))
    2
    """

    def __init__(
        self,
        directory: str | Path | Folder,
        keep: int = 3,
        data: Mapping[str, Any] | None = None,
        *,
        every: str = "0",
        made_with: Mapping[str, Any] | None = None,
        best: str | None = None,
        at_start: bool = False,
        model: Mapping[str, Any] | None = None,
    ) -> None:
        _checks.count("keep", keep, 1)
        self.directory = directory if isinstance(directory, Folder) else Path(directory)
        self.keep = keep
        self.every = Every.parse(every)
        self.best = best
        self.at_start = at_start
        self.facts = {"data": data, "made_with": made_with, "model": model}
        self._due = math.inf

    def fit_begin(self, trainer: Trainer) -> None:
        """Start the clock; save what the first step begins with, where that was asked for."""
        self._wait()
        if self.at_start and not trainer.step:
            self.save(trainer)

    def step_end(self, trainer: Trainer) -> None:
        """Save if it is time to do so."""
        steps = self.every.steps
        if self._due == math.inf if steps is None else trainer.step % steps:
            return
        if steps is not None or trainer.saves_together(monotonic() >= self._due):
            self.save(trainer)

    def _wait(self) -> None:
        if self.every.seconds is not None:
            self._due = monotonic() + self.every.seconds

    def epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Save."""
        self.save(trainer)

    def fit_end(self, trainer: Trainer) -> None:
        """Save if an epoch was begun but not finished."""
        if trainer.batch:
            self.save(trainer)

    def save(self, trainer: Trainer) -> Path | None:
        """Write a checkpoint of this moment, and delete those that are too old; None where another rank does so.

        Raises
        ------
        NonFiniteLoss
            The last step made a weight NaN or infinite; then nothing is written.
        """
        arrays, info = trainer.state_dict()
        if not np.isfinite(arrays["parameters"]).all():
            raise NonFiniteLoss(
                f"a weight became NaN or infinite in epoch {info['epoch'] + 1}, step {info['step']}: "
                f"try a lower --lr than {trainer.peak_lr:g}, or --clip-norm 1"
            )
        if trainer.team.rank:
            return None
        info |= {name: dict(facts) for name, facts in self.facts.items() if facts is not None}
        path = checkpoints.save(self.directory, arrays, info)
        best = None if self.best is None else trainer.history.best(self.best)
        checkpoints.prune(self.directory, self.keep, path, None if best is None else checkpoints.of_epoch(best))
        self._wait()
        return path


class JsonLines(Callback):
    """Appends a line of JSON to one file for each epoch, and to another for each interval, and flushes it at once.

    Of several ranks that train together, the first one writes.

    Parameters
    ----------
    epochs, intervals
        The files; None leaves one out.

    Raises
    ------
    RunError
        When a line cannot be written, for instance on a full disk.

    Examples
    --------
    >>> import json
    >>> import tempfile
    >>> from pathlib import Path
    >>> import xnn
    >>> from xnn import nn, optim
    >>> model = nn.Linear(2).build((1,), backend="numpy")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "metrics.jsonl"
    ...     trainer = xnn.Trainer(model, optim.SGD(model, lr=0.1), callbacks=[xnn.runs.JsonLines(path)])
    ...     history = trainer.fit(([[-1.0], [1.0]], [0, 1]), epochs=3)
    ...     [json.loads(line)["epoch"] for line in path.read_text().splitlines()]
    [1, 2, 3]
    """

    def __init__(self, epochs: str | Path | None, intervals: str | Path | None = None) -> None:
        self.epochs = None if epochs is None else Path(epochs)
        self.intervals = None if intervals is None else Path(intervals)

    def interval(self, trainer: Trainer, row: IntervalRow) -> None:
        """Write the interval's line."""
        if not trainer.team.rank:
            _append(self.intervals, row)

    def epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Write the epoch's line."""
        if not trainer.team.rank:
            _append(self.epochs, row)


def _append(path: Path | None, row: Mapping[str, Any]) -> None:
    if path is not None:
        append(path, json_files.line(row))
