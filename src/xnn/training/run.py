"""A whole run: from settings to a directory with a trained model and its results."""

import dataclasses
import importlib
import platform
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from xnn._version import __version__
from xnn.errors import RunError, SettingError
from xnn.paths import expanded
from xnn.training import curves
from xnn.training.assembly import Job, make_trainer, prepare
from xnn.training.callbacks import Callback, Checkpoint
from xnn.training.checkpoints import Saved
from xnn.training.files import read_json_lines
from xnn.training.history import History
from xnn.training.run_directory import RunDirectory, RunLog, default_path
from xnn.training.settings import Settings, known
from xnn.training.trainer import Trainer

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes
    ----------
    directory
        Where everything was written.
    history
        The rows of the epochs.
    values
        The content of result.json; None when the run was interrupted.
    model
        The trained model, or the half-trained one.
    """

    directory: Path
    history: History
    values: dict[str, Any] | None
    model: Any


def train(settings: Settings, *, callbacks: Sequence[Callback] = (), report: Report | None = None) -> Result:
    """Train by the settings and write a run directory.

    Parameters
    ----------
    settings
        What to do.
    callbacks
        Called after the run's own.
    report
        Takes lines for people.

    Raises
    ------
    UserError
        The settings, the data or the directory cannot be used; nothing has been written then.
    RunError
        A file cannot be written, as on a full disk.
    NonFiniteLoss
        Training diverged; the checkpoints before that are kept.
    TypeError
        `settings` is not a `Settings`.
    """
    if not isinstance(settings, Settings):
        raise TypeError(f"train takes Settings, as in train(Settings(epochs=1)), not {type(settings).__name__}")
    say = report or _silent
    given = expanded(settings.run_dir, "--run-dir", RunError) if settings.run_dir else None
    if given is not None:
        RunDirectory.check_unused(given)
    job = prepare(settings, report)
    path = given or default_path(settings.dataset, settings.model)
    directory = RunDirectory.create(path, job.settings.to_dict(), numbered=given is None)
    _introduce(job, directory, say)
    return _fit(job, directory, None, callbacks)


def resume(
    path: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    report: Report | None = None,
    warn: Report | None = None,
    **changes: Any,
) -> Result:
    """Go on with the run in a directory from its newest sound checkpoint.

    Parameters
    ----------
    path
        A directory that `train` wrote.
    callbacks, report
        As for `train`.
    warn
        Takes a line for each damaged checkpoint that is passed over; `report` does where it is None.
    **changes
        Settings to replace: ``epochs``, ``backend``, ``data_dir``, ``quiet``.

    Raises
    ------
    RunError
        There is nothing to resume, what there is is damaged, or the data has changed since.
    """
    say = report or _silent
    directory = RunDirectory.open(path)
    settings = _saved_settings(directory, changes)
    saved, damaged = directory.newest_checkpoint()
    for line in damaged:
        (warn or say)(f"passed over: {line}")
    _check_something_left(directory, settings, saved, "epochs" in changes)
    job = prepare(settings, report)
    if saved is not None:
        _check_data(job, directory, saved)
    _introduce(job, directory, say)
    if changes:
        directory.write_config(job.settings.to_dict())
    say(_whence(saved))
    return _fit(job, directory, saved, callbacks)


def _silent(line: str) -> None:
    """Take a line for people where there are none."""


def _introduce(job: Job, directory: RunDirectory, say: Report) -> None:
    if job.held_out_name == "validation":
        say(f"{job.held_out.images:,} of the training images are held out for validation")
    settings = job.settings
    say(
        f"{settings.model}: {job.model.parameters.flat.shape[0]:,} parameters, {settings.optimizer}, step size "
        f"{settings.lr:g}, batches of {settings.batch_size}, on {job.backend.describe()}"
    )
    say(f"results go to {directory.path}")


def _whence(saved: Saved | None) -> str:
    if saved is None:
        return "stopped before its first checkpoint: begins again"
    inside = f", batch {saved.info['batch']}" if saved.info["batch"] else ""
    return f"goes on after epoch {saved.info['epoch']}{inside}"


def _saved_settings(directory: RunDirectory, changes: dict[str, Any]) -> Settings:
    try:
        settings = Settings.from_dict(directory.read_config())
    except SettingError as error:
        raise RunError(f"{directory.config} is damaged: {error}") from error
    if settings.epochs is None:
        raise RunError(f"{directory.config} is damaged: it has no number of epochs")
    return dataclasses.replace(settings, **(changes | {"run_dir": str(directory.path)}))


def _check_something_left(directory: RunDirectory, settings: Settings, saved: Saved | None, epochs_given: bool) -> None:
    done, batch = (saved.info["epoch"], saved.info["batch"]) if saved else (0, 0)
    if directory.result.exists() and not (epochs_given and known(settings.epochs) > done):
        raise RunError(
            f"--resume {directory.path}: the run is complete after {done} epochs; "
            f"give --epochs {done + 1} or more to go on"
        )
    if (known(settings.epochs), 0) < (done, batch):
        raise RunError(f"--epochs {settings.epochs}: the run has already begun epoch {done + 1}")


def _data(job: Job) -> dict[str, Any]:
    """What a checkpoint knows of its data: enough to notice another data set, and cheap to find."""
    labels = job.train.split.labels.astype("<i8")
    return {
        "training images": job.train.images,
        "batch size": job.train.batch_size,
        "classes": len(job.dataset.classes),
        "checksum of the labels": zlib.crc32(labels.tobytes()),
    }


def _check_data(job: Job, directory: RunDirectory, saved: Saved) -> None:
    now, then = _data(job), saved.info.get("data", {})
    different = [f"{name} {now[name]}, not {then[name]}" for name in now if now[name] != then.get(name, now[name])]
    if different:
        raise RunError(
            f"--resume {directory.path}: the data is not what the run began with: {', '.join(different)}; "
            "put it back, or begin a new run"
        )


def _fit(job: Job, directory: RunDirectory, saved: Saved | None, callbacks: Sequence[Callback]) -> Result:
    settings = job.settings
    own: list[Callback] = [Checkpoint(directory.checkpoints, settings.keep, _data(job)), RunLog(directory)]
    trainer = make_trainer(job, [*own, *callbacks])
    if saved is not None:
        try:
            trainer.load_state_dict(saved.arrays, saved.info)
        except ValueError as error:
            raise RunError(f"{saved.path} does not fit the run's settings: {error}") from error
    directory.cut_back(trainer.step, trainer.history)
    history = trainer.fit(job.train, job.held_out, epochs=known(settings.epochs))
    if trainer.interrupted:
        return Result(directory.path, history, None, job.model)
    return Result(directory.path, history, _finish(job, directory, trainer), job.model)


def _finish(job: Job, directory: RunDirectory, trainer: Trainer) -> dict[str, Any]:
    """Write the model, the picture and, last, the result."""
    last = trainer.history[-1]
    if job.held_out_name == "test":
        test = {name: last[f"test_{name}"] for name in ("loss", "accuracy")}
    else:
        metrics = trainer.evaluate(job.test)
        test = {"loss": metrics.loss, "accuracy": metrics.accuracy}
    with trainer.average.applied() if trainer.average else nullcontext():
        directory.write_model(job.model.state_dict(), _description(job))
    settings = job.settings
    title = f"{job.dataset.name}, {settings.model}: {100 * test['accuracy']:.2f} % of the test images"
    intervals = read_json_lines(directory.intervals)
    curves.draw(directory.curves, trainer.history, intervals, title=title, held_out=job.held_out_name)
    result = {
        "dataset": settings.dataset,
        "recipe": settings.model,
        "backend": job.backend.name,
        "epochs": trainer.epoch,
        "lr": settings.lr,
        "final_train_loss": last["train_loss"],
        "test_loss": test["loss"],
        "test_accuracy": test["accuracy"],
        "seconds": trainer.clock.elapsed,
        "parameters": int(job.model.parameters.flat.shape[0]),
        "seed": settings.seed,
        "versions": _versions(job.backend.library),
    }
    directory.write_result(result)
    return result


def _description(job: Job) -> dict[str, Any]:
    """What it takes to use model.safetensors; nothing in it depends on where or when it was trained."""
    settings = job.settings.to_dict()
    for name in PLACES:
        del settings[name]
    settings["dataset"] = Path(job.settings.dataset).name  # of a folder its own name, not where it is
    return {
        "model": job.settings.model,
        "image_shape": list(job.dataset.image_shape),
        "classes": list(job.dataset.classes),
        "normalization": dataclasses.asdict(job.normalization),
        "settings": settings,
    }


PLACES = ("data_dir", "run_dir", "backend", "quiet", "keep", "log_every")
"""Settings that say where and how a run was made, not what it computed."""


def _versions(library: str) -> dict[str, str]:
    versions = {"xnn": __version__, "python": platform.python_version()}
    for name in ("numpy", library):
        versions[name] = importlib.import_module(name).__version__
    return versions
