"""A run with its model's answers: everything that a page shows."""

import os
from dataclasses import dataclass
from typing import Any

from xnn.backends import Backend
from xnn.data import Dataset, Split, load
from xnn.data.torchvision import PREFIX
from xnn.errors import DataError
from xnn.reporting.augmented import Augmented, augmented, is_augmented
from xnn.reporting.evaluation import Evaluation, evaluate, in_classes_of
from xnn.reporting.filters import Filters, first_filters
from xnn.reporting.saved import SavedRun, load_model
from xnn.runs.settings import Settings


@dataclass(frozen=True)
class Contents:
    """A run, what it does to training images and, if it has a model, the model's answers for the test images.

    Attributes
    ----------
    run
        What its files say.
    answers, split
        The model's answers, and the images and labels that they are about.
    filters
        Those of the first layer; None if it has none that can be drawn.
    augmented
        Training images as the network gets them; None if it gets them as they are.
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
    augmented: Augmented | None = None
    missing: str | None = None


def contents_of(
    run: SavedRun,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
    on: Backend | str | None = None,
) -> Contents:
    """Evaluate a run's model on the test images of its data set, if the run is complete and the data is here.

    Some of its training images are augmented, if the run does that, also while it is under way. The run's
    own settings never lead to the network, since a run directory may come from a stranger.

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
    settings, saved, filters = run.settings, None, None
    if run.has_model():
        saved = load_model(run.path, on)
        filters = first_filters(saved.model.state_dict(), saved.image_shape)
    elif not is_augmented(settings):
        return Contents(run)
    try:
        dataset = _data(settings, data_dir, download)
        if saved is not None and not saved.knows_test_images(dataset):
            raise DataError("the version of xnn that made the run tested it on other images of this data set")
    except DataError as error:
        if data_dir is not None or download:
            raise
        return Contents(run, filters=filters, missing=str(error))
    if saved is None:
        return Contents(run, augmented=augmented(settings, dataset))
    split, _ = in_classes_of(saved, dataset, dataset.test)
    return Contents(run, evaluate(saved, split), split, filters, augmented(settings, dataset))


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
