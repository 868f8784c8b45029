"""The files of a run, for reading only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self, TypeVar

from xnn import tensors
from xnn.errors import RunError, some
from xnn.files import Folder
from xnn.nn import saving
from xnn.paths import expanded, explained
from xnn.runs import checkpoints, json_files, schema
from xnn.runs.settings import Settings
from xnn.strict_json import checked, parsed
from xnn.training.history import History, IntervalRow

T = TypeVar("T")

_MOST_METRICS, _MOST_INTERVALS = 2**26, 2**29
"""Most bytes to read from metrics.jsonl, whose rows are all kept, and from intervals.jsonl for drawing."""

_MOST_ROWS = 100_000
"""Most rows of intervals.jsonl to keep: more than a chart can show."""


EARLIER = {"shrink": 1}
"""What runs had before there was a setting for it, where that is not what the recipe has now."""


class RunFiles:
    """The files of one run, by their names in a folder that is opened once; made by `existing`."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.path = folder.path
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.intervals = self.path / "intervals.jsonl"
        self.result = self.path / "result.json"
        self.curves = self.path / "curves.png"
        self.model = self.path / saving.FILE

    @classmethod
    @contextmanager
    def existing(cls, path: str | Path, given: str) -> Iterator[Self]:
        """Yield the folder of an earlier run, not locked; `given` is its name in errors.

        Raises
        ------
        RunError
            There is no such folder, it contains no run, or it cannot be used.
        """
        place = expanded(path, given, RunError)
        with ExitStack() as stack:
            with explained(RunError, f"{given} {path}: cannot be used"):
                if not place.is_dir():
                    raise RunError(f"{given} {path}: there is no such folder")
                directory = cls(stack.enter_context(Folder(place)))
                if not directory.folder.exists(directory.config.name):
                    raise RunError(f"{given} {path}: there is no run in it (no config.json)")
            yield directory

    def read_settings(self) -> Settings:
        """Return the settings that `RunDirectory.create` wrote.

        Raises
        ------
        RunError
            The file is damaged, or has a setting that this version does not know.
        """
        with schema.reading(self.config):
            value = json_files.read_document(self.folder, self.config.name)
            settings = Settings.from_dict(EARLIER | checked(value, schema.Config))
            if settings.model is None:
                raise ValueError("it names no model")
            return settings

    def read_result(self) -> schema.Result | None:
        """Return what `write_result` wrote, or None if the run is not complete.

        Raises
        ------
        RunError
            The file is damaged.
        """
        if not self.has(self.result):
            return None
        with schema.reading(self.result):
            value = json_files.read_document(self.folder, self.result.name)
            result: schema.Result = checked(value, schema.Result)
        return result

    def read_metrics(self) -> History:
        """Return the epochs' rows, up to the first that is damaged or out of order.

        Raises
        ------
        RunError
            The file exists but cannot be read.
        """
        history = History()
        for _, row in self._rows(self.metrics, _MOST_METRICS, lambda line: schema.epoch_row(parsed(line))):
            if row["epoch"] != len(history) + 1:
                break
            history.append(row)
        return history

    def read_intervals(self) -> list[IntervalRow]:
        """Return the intervals' rows up to the first damaged one; if there are very many, an evenly spaced sample.

        Raises
        ------
        RunError
            The file exists but cannot be read.
        """
        rows: list[IntervalRow] = []
        stride = 1
        for number, (_, row) in enumerate(self.interval_lines(_MOST_INTERVALS)):
            if number % stride == 0:
                rows.append(row)
            if len(rows) > _MOST_ROWS:
                rows, stride = rows[::2], 2 * stride
        return rows

    def interval_lines(self, most: int = sys.maxsize) -> Iterator[tuple[bytes, IntervalRow]]:
        """Yield each line of intervals.jsonl with its row, up to the first damaged line or to `most` bytes."""
        return self._rows(self.intervals, most, schema.interval_row)

    def _rows(self, path: Path, most: int, check: Callable[[bytes], T]) -> Iterator[tuple[bytes, T]]:
        with schema.reading(path):
            for line in json_files.read_lines(self.folder, path.name, most):
                try:
                    row = check(line)
                except ValueError:  # the rows end here
                    return
                yield line, row

    def newest_checkpoint(
        self, check: Callable[[checkpoints.Saved], object] | None = None
    ) -> tuple[checkpoints.Saved | None, list[str]]:
        """Return the newest sound checkpoint, and a line for each one that was skipped.

        The checkpoint is None if the run was stopped before it had written one. `check` raises a `ValueError` for a
        checkpoint that should also be skipped.

        Raises
        ------
        RunError
            There were checkpoints, but no sound one is left.
        """
        saved, damaged = self.sound_checkpoint(check)
        if saved is None and damaged:
            raise RunError(f"--resume {self.path}: no sound checkpoint is left: {some(damaged, '; ')}")
        if saved is None and self.read_metrics():
            raise RunError(f"--resume {self.path}: its checkpoints are gone")
        return saved, damaged

    def epoch_checkpoint(self, epoch: int) -> checkpoints.Saved:
        """Return the checkpoint that was written after an epoch, from 1.

        Raises
        ------
        RunError
            It is gone or damaged.
        """
        name = checkpoints.of_epoch(epoch)
        with schema.reading(self.path / "checkpoints" / name), self.folder.child("checkpoints") as folder:
            return checkpoints.load_from(folder, name)

    def sound_checkpoint(
        self, check: Callable[[checkpoints.Saved], object] | None = None
    ) -> tuple[checkpoints.Saved | None, list[str]]:
        """Return what `newest_checkpoint` does, and None as well where no sound one is left.

        Raises
        ------
        RunError
            The folder cannot be looked into.
        """
        with schema.reading(self.path / "checkpoints"):
            if self.folder.exists("checkpoints"):
                with self.folder.child("checkpoints") as folder:
                    return checkpoints.newest_valid(folder, check)
        return None, []

    def has(self, path: Path) -> bool:
        """Whether there is such a file; a model is there once the run is complete, and the curves soon after.

        Raises
        ------
        RunError
            The folder cannot be read.
        """
        with schema.reading(path):
            return self.folder.exists(path.name)

    def read_description(self) -> schema.Description:
        """Return what `write_model` was given besides the arrays.

        Raises
        ------
        RunError
            There is no model, or its file is damaged.
        """
        if not self.has(self.model):
            raise RunError(
                f"run directory {self.path}: there is no model in it (no {self.model.name}); it is written "
                f"when the run ends: xnn-train --resume {self.path}"
            )
        with schema.reading(self.model):
            metadata = tensors.read_metadata(self.folder, self.model.name)
            if "xnn" not in metadata:
                raise ValueError("it has no 'xnn' in its metadata")
            description: schema.Description = checked(parsed(metadata["xnn"]), schema.Description)
        return description

    def read_model(self, description: schema.Description, count: int) -> tensors.Arrays:
        """Return the arrays of model.safetensors; a file too large for `count` numbers is not read.

        Raises
        ------
        RunError
            The file is damaged.
        """
        with schema.reading(self.model):
            return tensors.read_arrays(self.folder, self.model.name, description.get("tensors"), 8 * count)
