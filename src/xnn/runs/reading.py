"""The files of a run, for whoever only reads them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from xnn.errors import RunError, some
from xnn.files import Folder
from xnn.paths import expanded, explained
from xnn.runs import checkpoints, json_files, schema, tensors
from xnn.runs.settings import Settings
from xnn.training.history import History, Row

MODEL = "model.safetensors"

_MOST_METRICS, _MOST_INTERVALS = 2**26, 2**29
"""Bytes that are read of metrics.jsonl, whose rows are all kept, and of intervals.jsonl to draw it."""

_MOST_ROWS = 100_000
"""Rows of intervals.jsonl that are kept, more than a chart can show."""


class RunFiles:
    """The files of one run, by names within a folder that is opened once; made by `existing`."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.path = folder.path
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.intervals = self.path / "intervals.jsonl"
        self.result = self.path / "result.json"
        self.curves = self.path / "curves.png"
        self.model = self.path / MODEL

    @classmethod
    @contextmanager
    def existing(cls, path: str | Path, given: str) -> Iterator[Self]:
        """Give the folder of an earlier run, not locked; `given` is what errors call it.

        Raises
        ------
        RunError
            There is no such folder, no run in it, or it cannot be used.
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
            return Settings.from_dict(schema.checked(value, schema.Config))

    def read_result(self) -> schema.Result | None:
        """Return what `write_result` wrote; None where the run is not complete.

        Raises
        ------
        RunError
            The file is damaged.
        """
        if not self.has(self.result):
            return None
        with schema.reading(self.result):
            value = json_files.read_document(self.folder, self.result.name)
            result: schema.Result = schema.checked(value, schema.Result)
        return result

    def read_metrics(self) -> History:
        """Return the epochs' rows, up to the first that is damaged or out of order.

        Raises
        ------
        RunError
            The file is there and cannot be read.
        """
        history = History()
        for _, row in self._rows(self.metrics, _MOST_METRICS, lambda line: schema.epoch_row(schema.parsed(line))):
            if row["epoch"] != len(history) + 1:
                break
            history.append(row)
        return history

    def read_intervals(self) -> list[Row]:
        """Return the intervals' rows, up to the first that is damaged; of very many, an evenly spaced sample.

        Raises
        ------
        RunError
            The file is there and cannot be read.
        """
        rows: list[Row] = []
        stride = 1
        for number, (_, row) in enumerate(self.interval_lines(_MOST_INTERVALS)):
            if number % stride == 0:
                rows.append(row)
            if len(rows) > _MOST_ROWS:
                rows, stride = rows[::2], 2 * stride
        return rows

    def interval_lines(self, most: int = sys.maxsize) -> Iterator[tuple[bytes, Row]]:
        """Give each line of intervals.jsonl with what it says, up to the first that is damaged, or `most` bytes."""
        return self._rows(self.intervals, most, schema.interval_row)

    def _rows(self, path: Path, most: int, check: Callable[[bytes], Row]) -> Iterator[tuple[bytes, Row]]:
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
        """Return the newest sound checkpoint, and a line for each that was passed over.

        None if the run was stopped before it had written one. `check` raises a `ValueError` for one that is to be
        passed over too.

        Raises
        ------
        RunError
            There were checkpoints, and no sound one is left.
        """
        saved, damaged = self.sound_checkpoint(check)
        if saved is None and damaged:
            raise RunError(f"--resume {self.path}: no sound checkpoint is left: {some(damaged, '; ')}")
        if saved is None and self.read_metrics():
            raise RunError(f"--resume {self.path}: its checkpoints are gone")
        return saved, damaged

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
            The folder cannot be looked into.
        """
        with schema.reading(path):
            return self.folder.exists(path.name)

    def read_description(self) -> schema.Description:
        """Return what `write_model` was given beside the arrays.

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
            description: schema.Description = schema.checked(schema.parsed(metadata["xnn"]), schema.Description)
        return description

    def read_model(self, description: schema.Description, count: int) -> tensors.Arrays:
        """Return the arrays of model.safetensors, which is not read unless it may hold `count` numbers.

        Raises
        ------
        RunError
            Its file is damaged.
        """
        with schema.reading(self.model):
            return tensors.read_arrays(self.folder, self.model.name, description.get("tensors"), 8 * count)
