"""What a run left in its directory: settings, rows, result and model, read and never changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnn import models, nn
from xnn.backends import Backend, backend
from xnn.data import Normalization
from xnn.errors import RunError, UserError
from xnn.paths import reason
from xnn.tasks import Task
from xnn.training.checkpoints import read_tensors
from xnn.training.files import read_json_lines
from xnn.training.history import History, Row
from xnn.training.run_directory import RunDirectory
from xnn.training.settings import Settings


@dataclass(frozen=True)
class SavedRun:
    """A run as its files tell it; made by `open`.

    Attributes
    ----------
    path
        The run directory.
    settings
        Those of config.json.
    history
        The epochs' rows, none where no epoch is done.
    intervals
        The rows of intervals.jsonl.
    result
        What result.json holds; None while the run is not complete.
    """

    path: Path
    settings: Settings
    history: History
    intervals: list[Row]
    result: dict[str, Any] | None

    @classmethod
    def open(cls, path: str | Path) -> "SavedRun":
        """Read the files of a run directory, but not its model.

        Raises
        ------
        RunError
            There is no run at `path`, or one of its files is damaged.
        """
        directory = RunDirectory.existing(path, "run directory")
        try:
            settings = Settings.from_dict(directory.read_config())
        except RunError:
            raise
        except UserError as error:
            raise RunError(f"{directory.config} is damaged: {error}") from error
        history = History(read_json_lines(directory.metrics))
        result = _read_result(directory.result)
        return cls(directory.path, settings, history, read_json_lines(directory.intervals), result)

    @property
    def model_file(self) -> Path:
        """Where the trained model is, once the run is complete."""
        return RunDirectory(self.path).model

    @property
    def held_out(self) -> str:
        """What the epochs were judged on: ``test`` or ``validation``."""
        return "validation" if self.settings.validation else "test"


def _read_result(path: Path) -> dict[str, Any] | None:
    try:
        result = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"cannot read {path}: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: it is no JSON ({type(error).__name__})") from error
    if not isinstance(result, dict):
        raise RunError(f"{path} is damaged: expected an object with the result")
    return result


@dataclass(frozen=True)
class SavedModel:
    """A trained model and what it takes to use it, all from model.safetensors.

    Attributes
    ----------
    model
        Built on its backend, with the trained weights.
    image_shape
        (h, w, c) of the images it takes.
    classes
        The names of its outputs.
    normalization
        How its images were normalised in training.
    settings
        Those of the run that say what was computed; not where the data was.
    """

    model: nn.Sequential
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    normalization: Normalization
    settings: Settings


def load_model(path: str | Path, on: Backend | str | None = None) -> SavedModel:
    """Return the model of a run directory.

    The layers are made from the settings in the file's metadata, as the run made them, and get the arrays of the
    file. A model that was averaged while it trained is saved with its averaged weights.

    Parameters
    ----------
    path : path
        A run directory.
    on : Backend, str or None
        Where the model shall compute, as in `xnn.backend`; any backend takes the model of any other.

    Raises
    ------
    RunError
        There is no model at `path`, or its file is damaged.
    BackendError
        The backend is not there.
    """
    directory = RunDirectory.existing(path, "run directory")
    if not directory.model.is_file():
        raise RunError(
            f"run directory {directory.path}: there is no model in it (no {directory.model.name}); it is written "
            f"when the run ends: xnn-train --resume {directory.path}"
        )
    arrays, metadata = read_tensors(directory.model)
    chosen = backend(on)
    try:
        description = json.loads(metadata["xnn"])
        saved = _build(description, chosen)
        saved.model.load_state_dict(arrays)
    # A description that was tampered with can be wrong in any of these ways; so can arrays that do not fit it.
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        fault = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise RunError(f"{directory.model} is damaged: {' '.join(fault.split())}") from error
    return saved


def _build(description: Mapping[str, Any], chosen: Backend) -> SavedModel:
    settings = Settings.from_dict(description["settings"])
    models.check_names(settings)
    height, width, channels = description["image_shape"]
    shape, classes = (height, width, channels), tuple(description["classes"])
    # The number of training images decides on defaults alone, and these settings have no defaults left to fill in.
    task = Task(settings.dataset, shape, len(classes), images=0)
    model = models.layers(settings, task)
    model.build(shape, backend=chosen, seed=settings.seed, dtype=settings.dtype)
    numbers = description["normalization"]
    normalization = Normalization(tuple(numbers["mean"]), tuple(numbers["std"]))
    if not len(normalization.mean) == len(normalization.std) == channels:
        raise ValueError(f"it normalises {len(normalization.mean)} channels, its images have {channels}")
    return SavedModel(model, shape, classes, normalization, settings)
