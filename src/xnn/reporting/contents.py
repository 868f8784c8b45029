"""A run with its model's answers: everything that a page shows."""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from xnn import nn
from xnn.backends import Backend
from xnn.data import Dataset, Split, load
from xnn.data.torchvision import PREFIX
from xnn.errors import DataError, SettingError
from xnn.reporting.evaluation import Evaluation, evaluate, in_classes_of
from xnn.reporting.filters import Filters, first_filters
from xnn.reporting.samples import Samples, samples
from xnn.reporting.saved import SavedModel, SavedRun, load_model
from xnn.runs import assembly
from xnn.runs.settings import Settings
from xnn.tasks import Task


@dataclass(frozen=True)
class Contents:
    """A run, some of its training images and, if it has a model, the model's answers for the test images.

    Attributes
    ----------
    run
        What its files say.
    answers, split
        The model's answers, and the images and labels that they are about.
    filters
        Those of the first layer; None if it has none that can be drawn.
    layers
        The table of the model's layers.
    samples
        Training images, and what the network gets of them.
    task
        What the recipe's own settings depend on; None if that is not known.
    missing
        The reason, if something needs the data, but it is not here.

    Examples
    --------
    >>> import tempfile
    >>> import xnn
    >>> from xnn import reporting
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     settings = xnn.Settings(model="mlp", hidden=8, epochs=1, backend="numpy", run_dir=f"{folder}/run")
    ...     run = reporting.SavedRun.open(xnn.train(settings).directory)
    ...     contents = reporting.contents_of(run, on="numpy")
    >>> contents.answers.images, contents.missing
    (360, None)
    """

    run: SavedRun
    answers: Evaluation | None = None
    split: Split | None = None
    filters: Filters | None = None
    layers: nn.Summary | None = None
    samples: Samples | None = None
    task: Task | None = None
    missing: str | None = None


def contents_of(
    run: SavedRun,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
    on: Backend | str | None = None,
) -> Contents:
    """Evaluate a run's model on the test images of its data set, if the run is complete and the data is here.

    Some of its training images are shown, augmented if the run does that, also while it is under way. The run's own
    settings never lead to the network, since a run directory may come from a stranger.

    Parameters
    ----------
    run : SavedRun
    data_dir : path, optional
        Where the data set's files are, if they are no longer where the run found them.
    download : bool
        Whether to download the data set if it is missing.
    on : Backend, str or None
        Where to compute, as in `xnn.backend`.

    Raises
    ------
    UserError
        The model is damaged, or does not fit the data; or the data cannot be read from `data_dir`, or downloaded.
    """
    settings, saved, filters, layers = run.settings, None, None, None
    if run.has_model():
        saved = load_model(run.path, on)
        filters, layers = first_filters(saved.model.state_dict(), saved.image_shape), saved.model.summary()
    try:
        dataset = _data(settings, data_dir, download)
        if saved is not None and not saved.knows_test_images(dataset):
            raise DataError("the version of xnn that made the run tested it on other images of this data set")
    except DataError as error:
        if data_dir is not None or download:
            raise
        return Contents(run, filters=filters, layers=layers, task=_noted_task(run, saved), missing=str(error))
    some, task = samples(settings, dataset), _noted_task(run, saved) or _task(settings, dataset)
    if saved is None:
        return Contents(run, samples=some, task=task)
    split, _ = in_classes_of(saved, dataset, dataset.test)
    return Contents(run, evaluate(saved, split), split, filters, layers, some, task)


def _noted_task(run: SavedRun, saved: SavedModel | None) -> Task | None:
    """Return what the run noted of its task; None for runs of earlier versions, and those that are not complete."""
    images = (run.result or {}).get("training_images")
    if saved is None or images is None:
        return None
    return Task(run.settings.dataset, saved.image_shape, len(saved.classes), images)


def _task(settings: Settings, dataset: Dataset) -> Task | None:
    with suppress(SettingError):  # images cannot be held out as the settings say: it is not the data of the run
        training, _, _ = assembly.parts(dataset, settings)
        return Task(settings.dataset, dataset.image_shape, len(dataset.classes), len(training))
    return None


def _data(settings: Settings, data_dir: str | os.PathLike[str] | None, download: bool) -> Dataset:
    place = data_dir or place_of_data(settings)
    options: dict[str, Any] = {
        "labels": settings.labels,
        "image_size": settings.image_size,
        "skip_bad": settings.skip_bad,
    }
    try:
        return load(settings.dataset, data_dir=place, download=download, **options)
    except DataError:
        if data_dir is not None or place is None or not download:
            raise
    # The run's own folder is gone, and nothing is ever downloaded into a given folder.
    return load(settings.dataset, **options)


def place_of_data(settings: Settings) -> str | None:
    """Return the place of its data that a run's settings name, if it may be used without asking.

    torchvision's readers trust the files they read, so they get none from a folder that the settings name.
    """
    return None if settings.dataset.startswith(PREFIX) else settings.data_dir
