"""The folder a run writes: its settings, its rows, its result, its model and its checkpoints.

::

    config.json          every setting, including those that the model chose
    metrics.jsonl        a line for each epoch
    intervals.jsonl      a line every --log-every steps
    checkpoints/         the newest states, to resume from
    model.safetensors    the trained weights by name
    result.json          written when everything else is there: a folder with it is complete
    curves.png           drawn after that
    events.out.tfevents.0000000000.xnn
                         with --tensorboard; another one each time the run is resumed
    .lock                locked by the process that trains
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from xnn import tensors
from xnn.errors import RunError
from xnn.files import Folder, is_temporary
from xnn.paths import explained
from xnn.runs import json_files, lock
from xnn.runs.reading import RunFiles
from xnn.training.callbacks import Callback
from xnn.training.history import History, IntervalRow, Row

METRICS = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr", "seconds", "images_per_second")
"""Keys in every line of metrics.jsonl; null if there is no value."""


class StoppedAtOnce(KeyboardInterrupt):
    """A run was stopped without being saved; it can be resumed from what was saved in `directory` before."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory


class RunDirectory(RunFiles):
    """The files of one run, for writing; made by `create` or `open`, which keep other processes out."""

    @classmethod
    @contextmanager
    def create(cls, path: str | Path, config: Mapping[str, Any], *, numbered: bool = False) -> Iterator[Self]:
        """Make the folder and write config.json, whose ``run_dir`` becomes the folder's path.

        The folder is locked during the ``with`` block.

        Parameters
        ----------
        path
            The folder.
        config
            The settings by name.
        numbered
            If the name is taken, append -2, -3, ... to it instead of refusing.

        Raises
        ------
        RunError
            The folder exists and is not empty, another process has just taken it, or it cannot be made.
        """
        path = Path(path)
        if not numbered:
            cls.check_unused(path)
        with explained(RunError, f"--run-dir {path}: cannot be made"):
            if numbered:
                path = _make_numbered(path)
            else:
                path.mkdir(parents=True, exist_ok=True)
        with explained(RunError, f"--run-dir {path}: cannot be used"):
            folder = Folder(path)
        directory = cls(folder)
        with folder, directory._locked("--run-dir", path):
            if not numbered:
                cls.check_unused(path)  # again: a run that has ended may have used it since
            directory.write_config({**config, "run_dir": str(path)})
            yield directory

    @staticmethod
    def check_unused(path: Path) -> None:
        """Raise a `RunError` unless `path` does not exist, or is a folder with only the leftovers of a killed start."""
        with explained(RunError, f"--run-dir {path}: cannot be read"):
            exists, is_folder = path.exists(), path.is_dir()
            used = is_folder and not all(
                entry.name == lock.NAME or is_temporary(entry.name) for entry in path.iterdir()
            )
        if exists and not is_folder:
            raise RunError(f"--run-dir {path}: there is a file of that name")
        if used:
            raise RunError(
                f"--run-dir {path}: is not empty; give a new folder, or continue the run in it with --resume {path}"
            )

    @classmethod
    @contextmanager
    def open(cls, path: str | Path) -> Iterator[Self]:
        """Yield the folder of an earlier run, without leftovers of killed processes, locked for the ``with`` block.

        Raises
        ------
        RunError
            There is no such folder, it contains no run, another process trains in it, or it cannot be used.
        """
        with cls.existing(path, "--resume") as directory, directory._locked("--resume", path):
            yield directory

    @contextmanager
    def _locked(self, given: str, path: str | Path) -> Iterator[None]:
        """Keep other processes out for a ``with`` block; first delete what killed ones left half-written."""
        with ExitStack() as stack:
            try:
                with explained(RunError, f"{given} {path}: cannot be used"):
                    stack.enter_context(lock.locked(self.folder))
                    self.folder.remove_temporaries()
            except lock.Held as error:
                raise RunError(
                    f"{given} {path}: another process is training there; wait until it ends, or stop it first"
                ) from error
            yield

    @contextmanager
    def checkpoint_folder(self) -> Iterator[Folder]:
        """Yield the folder of the checkpoints, made if it is missing, without leftovers of killed processes.

        Raises
        ------
        RunError
            It cannot be made or used, or is a link.
        """
        with ExitStack() as stack:
            with explained(RunError, f"{self.path / 'checkpoints'} cannot be used"):
                folder = stack.enter_context(self.folder.child("checkpoints", make=True))
                folder.remove_temporaries()
            yield folder

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write config.json."""
        self._write(self.config, json_files.document(config))

    def cut_back(self, step: int, history: History) -> None:
        """Cut the rows on disk back to those that existed at a step."""
        self._write(self.metrics, b"".join(json_files.line(metrics_row(row)) for row in history))
        self._write(self.intervals, (line for line, row in self.interval_lines() if row["step"] <= step))

    def withdraw_result(self) -> None:
        """Delete result.json: the run is no longer complete."""
        with explained(RunError, f"cannot delete {self.result}"):
            self.folder.check()
            self.folder.remove(self.result.name)
            self.folder.sync()

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write result.json."""
        self._write(self.result, json_files.document(result))

    def write_curves(self, picture: bytes) -> None:
        """Write curves.png."""
        self._write(self.curves, picture)

    def write_model(self, arrays: Mapping[str, np.ndarray[Any, Any]], description: Mapping[str, Any]) -> None:
        """Write model.safetensors: the arrays by name and, as JSON under ``xnn`` in its metadata, `description`.

        The arrays' types, shapes and checksums are also stored there.
        """
        text = json.dumps({**description, "tensors": tensors.described(arrays)}, allow_nan=False)
        with explained(RunError, f"cannot write {self.model}"):
            tensors.write(self.folder, self.model.name, arrays, {"xnn": text})

    def append(self, path: Path, row: Mapping[str, Any]) -> None:
        """Add a row to one of the files of rows."""
        with explained(RunError, f"cannot write {path}"):
            self.folder.append(path.name, json_files.line(row))

    def _write(self, path: Path, content: bytes | Iterable[bytes]) -> None:
        with explained(RunError, f"cannot write {path}"):
            self.folder.write(path.name, content)


class RunLog(Callback):
    """Writes the rows of a run into its directory; of several ranks the first one does."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory

    def interval(self, trainer: Any, row: IntervalRow) -> None:
        """Write the interval's line."""
        if not trainer.team.rank:
            self.directory.append(self.directory.intervals, row)

    def epoch_end(self, trainer: Any, row: Row) -> None:
        """Write the epoch's line, with all of `METRICS`."""
        if not trainer.team.rank:
            self.directory.append(self.directory.metrics, metrics_row(row))


def metrics_row(row: Row) -> dict[str, Any]:
    """Return an epoch's row with every key of `METRICS` first, then its other values."""
    return {name: row.get(name) for name in METRICS} | dict(row)


def default_path(dataset: str, model: str, now: datetime | None = None) -> Path:
    """Return a path under ``runs/`` named after data set, model and time."""
    moment = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in dataset).strip("-.")
    # The end of a path says more; a file's name may have 255 bytes, and a letter takes up to 4.
    short = safe.encode()[-60:].decode(errors="ignore").strip("-.")
    return Path("runs") / f"{short or 'data'}-{model}-{moment}"


def _make_numbered(base: Path) -> Path:
    """Make `base`, or the first of base-2, base-3, ... that does not exist."""
    path, number = base, 1
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            path = base.with_name(f"{base.name}-{number}")
        else:
            return path
