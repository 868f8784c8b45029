"""A run with what its model answers: all that a page shows."""

import os
from dataclasses import dataclass

from xnn.backends import Backend
from xnn.data import Split, load
from xnn.reporting.evaluation import Evaluation, evaluate, in_classes_of
from xnn.reporting.filters import Filters, first_filters
from xnn.reporting.saved import SavedRun, load_model


@dataclass(frozen=True)
class Shown:
    """A run and, if it has a model, what the model answers to the test images.

    Attributes
    ----------
    run
        What its files tell.
    answers, split
        The model's answers, and the images and labels that they are about.
    filters
        Of the first layer; None also where it has none that can be drawn.
    """

    run: SavedRun
    answers: Evaluation | None = None
    split: Split | None = None
    filters: Filters | None = None


def look_at(run: SavedRun, *, data_dir: str | os.PathLike[str] | None = None, on: Backend | str | None = None) -> Shown:
    """Evaluate a run's model on the test images of its data set, if the run is complete.

    Parameters
    ----------
    run : SavedRun
    data_dir : path, optional
        Where the data set's files are, if no longer where the run found them.
    on : Backend, str or None
        Where to compute, as in `xnn.backend`.

    Raises
    ------
    UserError
        The model is damaged, the data cannot be found, or they do not fit each other.
    """
    if not run.model_file.is_file():
        return Shown(run)
    settings = run.settings
    saved = load_model(run.path, on)
    dataset = load(settings.dataset, data_dir=data_dir or settings.data_dir, labels=settings.labels)
    split, _ = in_classes_of(saved, dataset, dataset.test)
    filters = first_filters(saved.model.state_dict(), saved.image_shape)
    return Shown(run, evaluate(saved, split), split, filters)
