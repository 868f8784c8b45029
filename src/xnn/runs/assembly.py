"""Turning settings into the objects that train: backend, data, model."""

import importlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xnn import data, kernels, nn
from xnn._typing import Report
from xnn.backends import ENVIRONMENT_VARIABLE, Backend, backend
from xnn.data.class_counts import class_counts
from xnn.data.sources import may_be_scaled
from xnn.distributed.world import World
from xnn.errors import SettingError
from xnn.runs.augmentation import augmentation, mixing
from xnn.runs.checks import check_alphas, check_precision, check_shift, check_validation, check_window
from xnn.runs.defaults import check_names, resolve
from xnn.runs.network import WHITENING_IMAGES, build_network, freeze, prepare_first_layer
from xnn.runs.settings import Settings, known
from xnn.runs.starting import Start
from xnn.runs.together import Together
from xnn.tasks import Task

EVALUATION_BATCH = 1000
"""Images per batch when evaluating; apart from rounding, the result does not depend on it."""


@dataclass(frozen=True)
class Job:
    """Everything that a run trains with.

    Attributes
    ----------
    settings
        With every default filled in, and absolute paths to the data.
    held_out, held_out_name
        What epochs are judged on: the test set, or the validation images, be they held out here or part of the data.
    """

    settings: Settings
    backend: Backend
    dataset: data.Dataset
    normalization: data.Normalization
    model: nn.Sequential
    train: data.Batches
    held_out: data.Batches
    held_out_name: str
    test: data.Batches

    @property
    def divided(self) -> bool:
        """Whether images were held back here, for validation or for the test, rather than by whoever made the set."""
        return bool(self.settings.validation) or self.dataset.divided


def prepare(
    settings: Settings,
    report: Report | None = None,
    *,
    download: bool = True,
    starting: bool = True,
    together: Together | None = None,
) -> Job:
    """Choose the backend, read the data, build the model. Nothing is written, but for the data's cache.

    `download` says whether a data set that is missing may be downloaded; `starting` is False for a model that gets its
    weights from a checkpoint, so that the run that its settings begin with is not needed. Ranks `together` read the
    data machine by machine, and are sure to have the same.

    Raises
    ------
    UserError
        A name is unknown, a device does not answer, the data cannot be used, the model does not fit it.
    """
    together = together or Together()
    start = Start.read(settings.from_) if settings.from_ is not None and starting else None
    if start is not None:
        settings = start.filled_in(settings)
    check_names(settings)
    if settings.threads is not None:
        kernels.set_threads(settings.threads)
    kernels.threads.count()  # refuses an impossible number before anything is written
    chosen, backend_name = _backend(settings.backend, together.world)
    if settings.precision is not None:
        check_precision(settings.precision, chosen)
    dataset = together.by_host(lambda: load_data(settings, download=download, report=report))
    together.agree_on_data(dataset, chosen.library)
    settings = _with_image_size(settings, dataset)
    training, held_out, name = parts(dataset, settings)
    if report is not None and settings.dataset not in data.names():
        for line in class_counts(training.labels, dataset.classes):
            report(line)
    task = Task(settings.dataset, dataset.image_shape, len(dataset.classes), len(training))
    asked, settings = settings.precision, replace(resolve(settings, task), backend=backend_name)
    if asked is None and settings.precision not in kernels.precisions(chosen):
        settings = replace(settings, precision="float32")
    settings = _with_absolute_paths(settings)
    normalization = data.Normalization.of(training)
    model = build_network(settings, task, chosen)
    check_window(model, settings, task)
    check_shift(settings, task)
    check_alphas(settings)
    prepare_first_layer(model, settings, lambda: normalization(training.images[:WHITENING_IMAGES]))
    if start is not None:
        start.give(model, dataset.classes, report or (lambda line: None))
    freeze(model, settings.freeze)
    together.agree_on_weights(model)

    def batches(split: data.Split, size: int, **options: Any) -> data.Batches:
        return data.Batches(split, size, backend=chosen, normalization=normalization, dtype=settings.dtype, **options)

    changes = {"augment": augmentation(settings), "mix": mixing(settings), "classes": len(dataset.classes)}
    train = batches(training, known(settings.batch_size), seed=settings.seed, **changes)
    test = batches(dataset.test, EVALUATION_BATCH, shuffle=False)
    judged = batches(held_out, EVALUATION_BATCH, shuffle=False) if name == "validation" else test
    return Job(settings, chosen, dataset, normalization, model, train, judged, name, test)


def _backend(name: str | None, world: World | None) -> tuple[Backend, str]:
    """Return the backend, and the name by which a run that goes on chooses it again.

    Where several ranks are to compute on ``cupy``, each takes its own of the devices of its machine.
    """
    chosen = backend(name)
    if world is None or chosen.library != "cupy" or ":" in (name or os.environ.get(ENVIRONMENT_VARIABLE) or ""):
        return chosen, chosen.name
    devices = int(importlib.import_module("cupy").cuda.runtime.getDeviceCount())
    return backend(f"cupy:{world.local_rank % devices}"), "cupy"


def load_data(settings: Settings, **options: Any) -> data.Dataset:
    """Return the data set that settings name; `options` are those of `xnn.data.load` that are no settings."""
    return data.load(
        settings.dataset,
        data_dir=settings.data_dir,
        labels=settings.labels,
        image_size=settings.image_size,
        skip_bad=settings.skip_bad,
        **options,
    )


def parts(dataset: data.Dataset, settings: Settings) -> tuple[data.Split, data.Split, str]:
    """Return what is trained on, what epochs are judged on, and the name of that."""
    check_validation(dataset, settings)
    if dataset.validation is not None:
        return dataset.train, dataset.validation, "validation"
    if settings.validation:
        size = settings.validation if settings.validation < 1 else int(settings.validation)
        return *data.validation_split(dataset.train, size, seed=settings.seed), "validation"
    if settings.early_stopping:
        raise SettingError(
            f"--early-stopping {settings.early_stopping}: needs --validation, or the test set would choose when to stop"
        )
    if settings.keep_best:
        raise SettingError("--keep-best: needs --validation, or the test set would choose which weights are tested")
    return dataset.train, dataset.test, "test"


def _with_image_size(settings: Settings, dataset: data.Dataset) -> Settings:
    """Return settings that have the size that was chosen: pictures that come later must get it too."""
    height, width, _ = dataset.image_shape
    if height != width or not may_be_scaled(settings.dataset):
        return settings
    return replace(settings, image_size=height)


def _with_absolute_paths(settings: Settings) -> Settings:
    """Return settings whose data is found from any working directory, since a run may be resumed from another one."""

    def absolute(path: str) -> str:
        return str(Path(path).expanduser().absolute())

    if settings.data_dir is not None:
        settings = replace(settings, data_dir=absolute(settings.data_dir))
    if settings.from_ is not None:
        settings = replace(settings, from_=absolute(settings.from_))
    if settings.dataset in data.names() or settings.dataset.startswith("torchvision:"):
        return settings
    return replace(settings, dataset=absolute(settings.dataset))
