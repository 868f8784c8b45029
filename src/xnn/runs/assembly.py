"""Turning settings into the objects that train: data, model, optimizer, schedule."""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xnn import data, kernels, nn, optim, recipes
from xnn._typing import Report
from xnn.backends import ENVIRONMENT_VARIABLE, Backend, backend
from xnn.data.class_counts import class_counts
from xnn.data.mixing import Mixing
from xnn.data.sources import may_be_scaled
from xnn.data.splits import HostArray
from xnn.distributed.world import World
from xnn.errors import SettingError
from xnn.optim.tables import OPTIMIZERS, SCHEDULES, make_optimizer
from xnn.runs.defaults import check_names, resolve
from xnn.runs.settings import FIELDS, MIXINGS, Settings, flag, known
from xnn.runs.starting import Start
from xnn.runs.together import Together
from xnn.tasks import Task
from xnn.training import class_weights
from xnn.training.callbacks import Callback, EarlyStopping
from xnn.training.freezing import FadeOut
from xnn.training.renewing import RenewStatistics
from xnn.training.trainer import Trainer
from xnn.training.view_averaging import predictor

EVALUATION_BATCH = 1000
"""Images per batch when evaluating; apart from rounding, the result does not depend on it."""
SHIFT = 2
"""Most pixels by which --augment shift moves an image."""
WHITENING_IMAGES = 5000
"""Number of training images, the first ones, whose patches determine the whitening."""

FEW_STEPS = 100
"""Steps of a run below which running statistics are taken anew: they would lag too far behind the weights."""


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
    model = _build(settings, task, chosen)
    _check_window(model, settings, task)
    _check_shift(settings, task)
    _check_alphas(settings)
    prepare_first_layer(model, settings, lambda: normalization(training.images[:WHITENING_IMAGES]))
    if start is not None:
        start.give(model, dataset.classes, report or (lambda line: None))
    _freeze(model, settings.freeze)
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


def check_validation(dataset: data.Dataset, settings: Settings) -> None:
    """Raise a `SettingError` if images are to be held out of a data set that comes with some."""
    if dataset.validation is not None and settings.validation:
        raise SettingError(
            f"--validation {settings.validation:g}: {settings.dataset} comes with validation images; leave it out"
        )


def check_precision(precision: str, backend: Backend) -> None:
    """Raise a `SettingError` unless a backend offers the precision."""
    offered = kernels.precisions(backend)
    if precision in offered:
        return
    advice = f"choose one of {', '.join(offered)}" if len(offered) > 1 else "leave it out"
    places = {
        "tf32": "--backend numpy, or a CUDA device of compute capability 8.0 or more",
        "bfloat16": "--backend torch",
    }
    raise SettingError(
        f"--precision {precision}: {backend.name} does not offer it; {advice}, "
        f"or use {places.get(precision, '--backend numpy, cupy or torch')}"
    )


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


def _build(settings: Settings, task: Task, chosen: Backend) -> nn.Sequential:
    try:
        model = recipes.network(settings.model, task, settings.hidden, known(settings.init), settings.shrink)
        model.build(
            task.image_shape,
            backend=chosen,
            seed=settings.seed,
            dtype=settings.dtype,
            precision=known(settings.precision),
        )
    except ValueError as error:
        size = "x".join(map(str, task.image_shape))
        raise SettingError(f"--model {settings.model} does not fit images of {size}: {error}") from error
    return model


def _check_shift(settings: Settings, task: Task) -> None:
    """Raise a `SettingError` if the images are too small to be moved with their edges reflected."""
    height, width, _ = task.image_shape
    if "shift" in (settings.augment or ()) and min(height, width) <= SHIFT:
        raise SettingError(
            f"--augment shift: moves images by {SHIFT} pixels, and those of {height}x{width} are too small for that; "
            "leave it out, for example with --augment none"
        )


def _check_alphas(settings: Settings) -> None:
    """Raise a `SettingError` if an alpha was given for something that is not done."""
    for name in MIXINGS:
        field = FIELDS[f"{name}_alpha"]
        value = getattr(settings, field.name)
        if value != field.default and name not in (settings.augment or ()):
            raise SettingError(f"{flag(field.name)} {value:g}: needs {name} in --augment")


def _check_window(model: nn.Sequential, settings: Settings, task: Task) -> None:
    """Raise a `SettingError` if the window does not fit into the images, or the model cannot take one."""
    window = settings.window or 0
    if not window or not settings.window_share:
        return
    height, width, channels = task.image_shape
    if window > min(height, width):
        raise SettingError(f"--window {window}: expected at most {min(height, width)}, for images of {height}x{width}")
    try:
        backend = model.backend
        shape = (1, window, window, channels)
        model(backend.xp.zeros(shape, dtype=backend.dtype(settings.dtype), device=backend.device))
    except ValueError as error:
        raise SettingError(
            f"--window {window}: the model {settings.model} does not take images of {window}x{window}: {error}"
        ) from error


def prepare_first_layer(model: nn.Sequential, settings: Settings, images: Callable[[], HostArray]) -> None:
    """Make the first layer whiten patches of the training images, and train its bias, if the settings say so.

    `images` returns the first `WHITENING_IMAGES` of them, normalised; it is called if they are needed.
    """
    whitening, bias_epochs = settings.first_layer == "whitening", settings.first_bias_epochs or 0
    if not (whitening or bias_epochs):
        return
    first = model.layers[0]
    if not isinstance(first, nn.Conv2d) or first.weight.trainable:
        name, value = ("first_layer", "whitening") if whitening else ("first_bias_epochs", bias_epochs)
        raise SettingError(f"{flag(name)} {value}: the model {settings.model} has no frozen first layer; speed has one")
    if whitening:
        filters = data.whitening_filters(images(), first.kernel, known(settings.whitening_eps))
        first.weight.value[...] = model.backend.asarray(filters, dtype=settings.dtype)
    if bias_epochs:
        model.unfreeze(FIRST_BIAS)


FIRST_BIAS = "0.bias"
"""The parameter that `first_bias_epochs` is about."""


def _freeze(model: nn.Sequential, prefixes: tuple[str, ...]) -> None:
    """Freeze the parameters that ``--freeze`` names."""
    in_head = optim.last_layer(model)
    for prefix in prefixes:
        if prefix == "body":
            names = [name for name, view in model.parameters.items() if not in_head(name, view.shape)]
        else:
            names = [prefix]
        try:
            for name in names:
                model.freeze(name)
        except ValueError as error:
            raise SettingError(f"--freeze {prefix}: {error}, or body for all but the last layer") from error
    if prefixes and not model.trainable:
        raise SettingError(f"--freeze {','.join(prefixes)}: leaves nothing to train")


def make_trainer(job: Job, callbacks: list[Callback], world: World | None = None) -> Trainer:
    """Return the trainer of a job, which the ranks of a world may share."""
    settings = job.settings
    if settings.early_stopping:
        callbacks = [EarlyStopping(settings.early_stopping, f"{job.held_out_name}_loss"), *callbacks]
    if known(settings.epochs) * len(job.train) < FEW_STEPS:
        callbacks = [RenewStatistics(job.train), *callbacks]
    if settings.first_bias_epochs:
        callbacks = [FadeOut(FIRST_BIAS, settings.first_bias_epochs), *callbacks]
    optimizer = optimizer_of(job.model, settings)
    smoothing = settings.label_smoothing or 0.0
    return Trainer(
        job.model,
        optimizer,
        schedule=schedule_of(settings, optimizer.lr, len(job.train)),
        loss=nn.SoftmaxCrossEntropy(smoothing, class_weight=_class_weight(job)),
        held_out_loss=nn.SoftmaxCrossEntropy(smoothing),
        penalty=nn.L2Penalty(settings.l2) if settings.l2 else None,
        clip_norm=settings.clip_norm or None,
        average=optim.ExponentialMovingAverage(job.model, settings.average) if settings.average else None,
        callbacks=callbacks,
        log_every=settings.log_every,
        # Runs from before this setting existed lack it.
        evaluate_every=settings.evaluate_every or 1,
        held_out=job.held_out_name,
        predict=predictor(job.model, settings.test_views or 1),
        world=world,
        sync_batch_norm=settings.batch_norm == "sync",
    )


def _class_weight(job: Job) -> tuple[float, ...] | None:
    if job.settings.class_weights != "balanced":
        return None
    return class_weights.balanced(job.train.split.labels, len(job.dataset.classes))


def optimizer_of(model: nn.Layer, settings: Settings) -> optim.Optimizer:
    """Return the optimizer that resolved settings name."""
    name = known(settings.optimizer)
    values = {each: known(getattr(settings, each)) for each in OPTIMIZERS[name].settings}
    return make_optimizer(name, model, settings.body_lr, decay_all=settings.decay == "all", **values)


def schedule_of(settings: Settings, lr: float, batches: int) -> optim.Schedule:
    """Return the learning rate's schedule."""
    total = known(settings.epochs) * batches
    warmup = min(round((settings.warmup or 0.0) * batches), total - 1)
    return SCHEDULES[known(settings.schedule)](lr, total, warmup_steps=warmup)


def augmentation(settings: Settings) -> data.Compose | None:
    """Return the random changes to training images; None if they stay as they are."""
    makers: dict[str, Callable[[], Any]] = {
        "flip": data.HorizontalFlip,
        "alternating-flip": data.AlternatingFlip,
        "crop": lambda: data.RandomCrop(padding=4),
        "shift": lambda: data.RandomCrop(padding=SHIFT, fill="reflect"),
        "cutout": lambda: data.Cutout(size=8),
        "resized-crop": data.RandomResizedCrop,
        "rotate": data.RandomRotation,
        "colour": data.ColourJitter,
    }
    chosen = [makers[name]() for name in settings.augment or () if name not in ("none", *MIXINGS)]
    epochs = int(known(settings.epochs) * (settings.window_share or 0.0))
    if settings.window and epochs:
        chosen.append(data.FirstEpochs(data.RandomWindow(settings.window), epochs))
    return data.Compose(tuple(chosen)) if chosen else None


def mixing(settings: Settings) -> Mixing | None:
    """Return what mixes the images of a training batch; None if nothing does."""
    makers: dict[str, Mixing] = {
        "mixup": data.MixUp(settings.mixup_alpha),
        "cutmix": data.CutMix(settings.cutmix_alpha),
    }
    chosen = tuple(makers[name] for name in MIXINGS if name in (settings.augment or ()))
    return data.RandomChoice(chosen) if len(chosen) > 1 else next(iter(chosen), None)
