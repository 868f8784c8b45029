"""The folder a run writes: its settings, its rows, its result, its model and its checkpoints.

::

    config.json          every setting, also those the model chose
    metrics.jsonl        a line an epoch
    intervals.jsonl      a line every --log-every steps
    checkpoints/         the newest states, to resume from
    result.json          written last: a folder that has it is complete
    model.safetensors    the trained weights by name
    curves.png
    .lock                locked by the process that trains
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from xnn.errors import RunError
from xnn.paths import expanded, reason
from xnn.training import checkpoints, lock
from xnn.training.callbacks import JsonLines
from xnn.training.files import (
    is_temporary,
    json_document,
    json_lines,
    read_json_lines,
    remove,
    remove_temporaries,
    write_atomically,
)
from xnn.training.history import History, Row

METRICS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "lr",
    "seconds",
    "images_per_second",
)
"""Keys that every line of metrics.jsonl has; null where there is no value."""


class StoppedAtOnce(KeyboardInterrupt):
    """A run was left without being saved; `directory` has what was saved before, to go on from."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory


class RunDirectory:
    """The files of one run; who writes them got it by `create` or `open`, which keep other processes out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.jsonl"
        self.intervals = path / "intervals.jsonl"
        self.result = path / "result.json"
        self.curves = path / "curves.png"
        self.model = path / "model.safetensors"
        self.checkpoints = path / "checkpoints"

    @classmethod
    @contextmanager
    def create(cls, path: str | Path, config: Mapping[str, Any], *, numbered: bool = False) -> "Iterator[RunDirectory]":
        """Make the folder and write config.json, whose ``run_dir`` becomes the folder's path.

        The folder is locked for the time of the ``with`` block.

        Parameters
        ----------
        path
            The folder.
        config
            The settings by name.
        numbered
            Where there is something of that name, try it with -2, -3, ... after it, instead of refusing.

        Raises
        ------
        RunError
            It exists and is not empty, another process has just taken it, or it cannot be made.
        """
        path = Path(path)
        if not numbered:
            cls.check_unused(path)
        try:
            if numbered:
                path = _make_numbered(path)
            else:
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"--run-dir {path}: cannot be made: {reason(error)}") from error
        directory = cls(path)
        with directory._locked("--run-dir", path):
            if not numbered:
                cls.check_unused(path)  # again: it may have been used since, by a run that is over
            directory.write_config({**config, "run_dir": str(path)})
            yield directory

    @staticmethod
    def check_unused(path: Path) -> None:
        """Raise a `RunError` unless `path` does not exist, or is a folder without more than a killed start left."""
        try:
            exists, is_folder = path.exists(), path.is_dir()
            used = is_folder and not all(entry.name == lock.NAME or is_temporary(entry) for entry in path.iterdir())
        except OSError as error:
            raise RunError(f"--run-dir {path}: cannot be read: {reason(error)}") from error
        if exists and not is_folder:
            raise RunError(f"--run-dir {path}: there is a file of that name")
        if used:
            raise RunError(
                f"--run-dir {path}: is not empty; give a new folder, or go on with its run by --resume {path}"
            )

    @classmethod
    @contextmanager
    def open(cls, path: str | Path) -> "Iterator[RunDirectory]":
        """Give the folder of an earlier run, without the leftovers of a kill, locked for the ``with`` block.

        Raises
        ------
        RunError
            There is no such folder, no run in it, another process trains in it, or it cannot be used.
        """
        directory = cls.existing(path, "--resume")
        with directory._locked("--resume", path):
            yield directory

    @classmethod
    def existing(cls, path: str | Path, given: str) -> "RunDirectory":
        """Return the folder of an earlier run, not locked; `given` is what errors call it.

        Raises
        ------
        RunError
            There is no such folder, no run in it, or it cannot be used.
        """
        directory = cls(expanded(path, given, RunError))
        try:
            if not directory.path.is_dir():
                raise RunError(f"{given} {path}: there is no such folder")
            if not directory.config.is_file():
                raise RunError(f"{given} {path}: there is no run in it (no config.json)")
        except OSError as error:
            raise RunError(f"{given} {path}: cannot be used: {reason(error)}") from error
        return directory

    @contextmanager
    def _locked(self, given: str, path: str | Path) -> Iterator[None]:
        """Keep other processes out for a ``with`` block, and begin by deleting what killed ones left half-written."""
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.locked(self.path))
                for folder in (self.path, self.checkpoints):
                    remove_temporaries(folder)
            except lock.Held as error:
                raise RunError(
                    f"{given} {path}: another process is training there; wait for its end, or stop it first"
                ) from error
            except OSError as error:
                raise RunError(f"{given} {path}: cannot be used: {reason(error)}") from error
            yield

    def read_config(self) -> dict[str, Any]:
        """Return the settings that `create` wrote.

        Raises
        ------
        RunError
            The file is damaged.
        """
        try:
            config = json.loads(self.config.read_bytes())
        except RecursionError as error:
            raise RunError(f"{self.config} is damaged: it is nested too deeply") from error
        except (OSError, ValueError) as error:
            raise RunError(f"{self.config} is damaged: {' '.join(str(error).split())}") from error
        if not isinstance(config, dict):
            raise RunError(f"{self.config} is damaged: expected an object with settings")
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write config.json."""
        write_atomically(self.config, json_document(config))

    def newest_checkpoint(self) -> tuple[checkpoints.Saved | None, list[str]]:
        """Return the newest sound checkpoint, and a line for each damaged one passed over.

        None if the run was stopped before it had written one.

        Raises
        ------
        RunError
            There were checkpoints, and no sound one is left.
        """
        saved, damaged = checkpoints.newest_valid(self.checkpoints)
        if saved is None and damaged:
            raise RunError(f"--resume {self.path}: no sound checkpoint is left: {'; '.join(damaged)}")
        if saved is None and read_json_lines(self.metrics):
            raise RunError(f"--resume {self.path}: its checkpoints are gone")
        return saved, damaged

    def cut_back(self, step: int, history: History) -> None:
        """Make the rows on disk those that there were at a step."""
        write_atomically(self.metrics, json_lines(metrics_row(row) for row in history))
        kept = [row for row in read_json_lines(self.intervals) if row.get("step", 0) <= step]
        write_atomically(self.intervals, json_lines(kept))

    def withdraw_result(self) -> None:
        """Delete result.json: the run is no longer complete."""
        remove(self.result)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write result.json."""
        write_atomically(self.result, json_document(result))

    def write_model(self, arrays: Mapping[str, np.ndarray[Any, Any]], description: Mapping[str, Any]) -> None:
        """Write model.safetensors: the arrays by name and, as JSON under ``xnn`` in its metadata, `description`."""
        checkpoints.write_tensors(self.model, arrays, {"xnn": json.dumps(description)})


class RunLog(JsonLines):
    """Writes the rows of a run into its directory."""

    def __init__(self, directory: RunDirectory) -> None:
        super().__init__(directory.metrics, directory.intervals)

    def epoch_end(self, trainer: Any, row: Row) -> None:
        """Write the epoch's line, with all of `METRICS`."""
        super().epoch_end(trainer, metrics_row(row))


def metrics_row(row: Row) -> Row:
    """Return an epoch's row with every key of `METRICS` first, then what else it has."""
    return {name: row.get(name) for name in METRICS} | row


def default_path(dataset: str, model: str, now: datetime | None = None) -> Path:
    """Return a path under ``runs/`` named after data set, model and time."""
    moment = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in dataset).strip("-.")
    # The end says more where it is a path; a file's name has 255 bytes, a letter up to 4.
    short = safe.encode()[-60:].decode(errors="ignore").strip("-.")
    return Path("runs") / f"{short or 'data'}-{model}-{moment}"


def _make_numbered(base: Path) -> Path:
    """Make `base`, or the first of base-2, base-3, ... that nobody else has made."""
    path, number = base, 1
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            path = base.with_name(f"{base.name}-{number}")
        else:
            return path
