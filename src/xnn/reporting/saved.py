"""What a run left in its directory (settings, rows, result and model), to be read but never changed."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xnn import nn
from xnn.backends import Backend, backend
from xnn.data import Dataset, Normalization
from xnn.data.limits import check_room
from xnn.data.splits import DIVISION
from xnn.errors import RunError, some
from xnn.runs import resuming, schema
from xnn.runs.checkpoints import Saved
from xnn.runs.described import network_of
from xnn.runs.reading import RunFiles
from xnn.runs.settings import Settings
from xnn.strict_json import checked
from xnn.training.history import History, IntervalRow, judged_on


@dataclass(frozen=True)
class SavedRun:
    """A run as its files describe it; made by `open`.

    Attributes
    ----------
    path
        The run directory.
    settings
        Those of config.json.
    history
        The epochs' rows; empty if no epoch is done.
    intervals
        The rows of intervals.jsonl.
    result
        What result.json holds; None while the run is not complete.

    Examples
    --------
    >>> import tempfile
    >>> import xnn
    >>> from xnn import reporting
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     settings = xnn.Settings(model="mlp", hidden=8, epochs=1, backend="numpy", run_dir=f"{folder}/run")
    ...     run = reporting.SavedRun.open(xnn.train(settings).directory)
    >>> run.settings.model, len(run.history), run.held_out
    ('mlp', 1, 'test')
    """

    path: Path
    settings: Settings
    history: History
    intervals: list[IntervalRow]
    result: schema.Result | None

    @classmethod
    def open(cls, path: str | Path) -> "SavedRun":
        """Read the files of a run directory, but not its model.

        Raises
        ------
        RunError
            There is no run at `path`, or one of its files is damaged.
        """
        with RunFiles.existing(path, "run directory") as directory:
            settings, history = directory.read_settings(), directory.read_metrics()
            return cls(directory.path, settings, history, directory.read_intervals(), directory.read_result())

    def has_model(self) -> bool:
        """Whether there is a trained model; there is one when the run is complete."""
        with RunFiles.existing(self.path, "run directory") as directory:
            return directory.has(directory.model)

    @property
    def held_out(self) -> str:
        """Name of the images on which the epochs were evaluated: ``test`` or ``validation``."""
        return judged_on(self.history)


@dataclass(frozen=True)
class SavedModel:
    """A trained model and what one needs to use it, all from model.safetensors.

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
        The run's settings about what was computed, but not those about where the data was.
    division
        The way in which the test images were chosen, if they were chosen by xnn.
    moment
        How far the run was, in words, if it is not complete; None if it is.

    Examples
    --------
    >>> import xnn
    >>> from xnn import data, nn, reporting
    >>> digits = data.load("digits")
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(10)).build((8, 8, 1), backend="numpy")
    >>> normalization = data.Normalization.of(digits.train)
    >>> saved = reporting.SavedModel(model, (8, 8, 1), digits.classes, normalization, xnn.Settings())
    >>> saved.knows_test_images(digits), saved.model.output_shape
    (True, (10,))
    """

    model: nn.Sequential
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    normalization: Normalization
    settings: Settings
    division: int | None = None
    moment: str | None = None

    def knows_test_images(self, dataset: Dataset) -> bool:
        """Whether the test images of the data set that the model was trained on are still those it was not."""
        return not dataset.divided or self.division == DIVISION


def load_model(path: str | Path, on: Backend | str | None = None) -> SavedModel:
    """Return the model of a run directory.

    The layers are made from the settings in the file's metadata, as the run made them, and get the arrays of the
    file. A model that was averaged while it trained is saved with its averaged weights. Of a run that is not complete,
    it is the model of the newest sound checkpoint, averaged likewise.

    Parameters
    ----------
    path : path
        A run directory.
    on : Backend, str or None
        Where the model should compute, as in `xnn.backend`; any backend takes the model of any other.

    Raises
    ------
    RunError
        There is no model at `path`, or its file is damaged.
    BackendError
        The backend is not available.
    """
    chosen = backend(on)
    with RunFiles.existing(path, "run directory") as directory:
        if not directory.has(directory.result):
            found, passed_over = _of_checkpoint(directory, chosen)
            if found is not None:
                return found
            if passed_over and not directory.has(directory.model):
                raise RunError(
                    f"run directory {path}: there is no model in it, nor a checkpoint to take one from: "
                    f"{some(passed_over, '; ')}; go on with the run by xnn-train --resume {path}"
                )
        return _of_file(directory, chosen)


def _of_file(directory: RunFiles, chosen: Backend) -> SavedModel:
    """Return the model of model.safetensors."""
    description = directory.read_description()
    with schema.reading(directory.model):
        saved = _described(description)
    count = _count(saved, directory.model)
    arrays = directory.read_model(description, count)
    with schema.reading(directory.model):
        _build(saved, chosen, sum(array.size for array in arrays.values()), count)
        saved.model.load_state_dict(arrays)
    return saved


def _of_checkpoint(directory: RunFiles, chosen: Backend) -> tuple[SavedModel | None, list[str]]:
    """Return the model of the newest checkpoint that has one, and a line for each that was passed over."""
    taken: list[SavedModel] = []
    _, passed_over = directory.sound_checkpoint(lambda found: taken.append(_taken(found, chosen)))
    return (taken[0] if taken else None), passed_over


def _taken(checkpoint: Saved, chosen: Backend) -> SavedModel:
    """Return the model of a checkpoint, or raise a `ValueError` that names it."""
    info, arrays = resuming.check_counts(checkpoint).info, checkpoint.arrays
    if "model" not in info:
        raise ValueError(f"{checkpoint.path} is of an earlier version and does not describe its model")
    with schema.reading(checkpoint.path):
        saved = _described(checked(info["model"], schema.Description))
    count = _count(saved, checkpoint.path)
    prefix = "average/" if "average/parameters" in arrays else ""
    vectors = {name: arrays.get(f"{prefix}{name}", np.empty(0)) for name in ("parameters", "buffers")}
    with schema.reading(checkpoint.path):
        _build(saved, chosen, sum(vector.size for vector in vectors.values()), count)
        if saved.model.layout() != [dict(entry) for entry in info["layout"]]:
            raise ValueError("its parameters are not those of its model")
        for name, vector in vectors.items():
            flat = getattr(saved.model, name).flat
            if vector.shape != tuple(flat.shape):
                raise ValueError(f"its {name} are {vector.shape}, those of its model {tuple(flat.shape)}")
            flat[...] = chosen.asarray(vector, dtype=saved.settings.dtype)
    inside = f", batch {info['batch']}" if info["batch"] else ""
    return replace(saved, moment=f"after epoch {info['epoch']} of {saved.settings.epochs}{inside}")


def _count(saved: SavedModel, path: Path) -> int:
    """Return how many numbers a model that is not built has, once it is known that an image has room in it."""
    with schema.reading(path):
        count, passed = saved.model.count(saved.image_shape)
    check_room(4 * passed, f"{path}: an image of {'x'.join(map(str, saved.image_shape))}")
    return count


def _build(saved: SavedModel, chosen: Backend, found: int, count: int) -> None:
    """Build a model for which as many numbers were found as it has: a file may describe one far larger than itself."""
    if found != count:
        raise ValueError(f"its arrays do not have the {count:,} numbers of its model")
    saved.model.build(saved.image_shape, backend=chosen, seed=saved.settings.seed, dtype=saved.settings.dtype)


def _described(description: schema.Description) -> SavedModel:
    """Return the model that a file describes; it is not built yet."""
    settings, model = network_of(description)
    if settings.hidden is None:
        raise ValueError("it lacks the width of its hidden layers")
    shape, numbers = description["image_shape"], description["normalization"]
    normalization = Normalization(tuple(numbers["mean"]), tuple(numbers["std"]))
    if not len(normalization.mean) == len(normalization.std) == shape[2]:
        raise ValueError(f"it normalises {len(normalization.mean)} channels, its images have {shape[2]}")
    classes = tuple(description["classes"])
    return SavedModel(model, shape, classes, normalization, settings, description.get("division"))
