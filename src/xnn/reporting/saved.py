"""What a run left in its directory (settings, rows, result and model), to be read but never changed."""

from dataclasses import dataclass
from pathlib import Path

from xnn import nn, recipes
from xnn.backends import Backend, backend
from xnn.data import Dataset, Normalization
from xnn.data.limits import check_room
from xnn.data.splits import DIVISION
from xnn.runs import schema
from xnn.runs.defaults import check_names
from xnn.runs.reading import RunFiles
from xnn.runs.settings import Settings
from xnn.tasks import Task
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
        """What the epochs were judged on: ``test`` or ``validation``."""
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
        Those of the run that say what was computed; not where the data was.
    division
        The way in which the test images were chosen, if they were chosen by xnn.
    """

    model: nn.Sequential
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    normalization: Normalization
    settings: Settings
    division: int | None = None

    def knows_test_images(self, dataset: Dataset) -> bool:
        """Whether the test images of the data set that the model was trained on are still those it was not."""
        return not dataset.divided or self.division == DIVISION


def load_model(path: str | Path, on: Backend | str | None = None) -> SavedModel:
    """Return the model of a run directory.

    The layers are made from the settings in the file's metadata, as the run made them, and get the arrays of the
    file. A model that was averaged while it trained is saved with its averaged weights.

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
        description = directory.read_description()
        with schema.reading(directory.model):
            saved = _described(description)
            model, shape = saved.model, saved.image_shape
            count, passed = model.count(shape)
        check_room(4 * passed, f"{directory.model}: an image of {'x'.join(map(str, shape))}")
        arrays = directory.read_model(description, count)
        with schema.reading(directory.model):
            if sum(array.size for array in arrays.values()) != count:
                raise ValueError(f"its arrays do not have the {count:,} numbers of its model")
            # Only now, since a model may be described that is far larger than the file.
            model.build(shape, backend=chosen, seed=saved.settings.seed, dtype=saved.settings.dtype)
            model.load_state_dict(arrays)
    return saved


def _described(description: schema.Description) -> SavedModel:
    """Return the model that a file describes, not yet built."""
    settings = Settings.from_dict(description["settings"])
    check_names(settings)
    if settings.hidden is None:
        raise ValueError("it lacks the width of its hidden layers")
    shape, classes = description["image_shape"], tuple(description["classes"])
    # The number of training images only affects defaults, and these settings have no defaults left to fill in.
    task = Task(settings.dataset, shape, len(classes), images=0)
    numbers = description["normalization"]
    normalization = Normalization(tuple(numbers["mean"]), tuple(numbers["std"]))
    if not len(normalization.mean) == len(normalization.std) == shape[2]:
        raise ValueError(f"it normalises {len(normalization.mean)} channels, its images have {shape[2]}")
    # Runs from before these settings existed lack them.
    model = recipes.network(settings.model, task, settings.hidden, settings.init or "kaiming", settings.shrink or 1)
    return SavedModel(model, shape, classes, normalization, settings, description.get("division"))
