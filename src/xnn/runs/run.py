"""A whole run: from settings to a directory with a trained model and its results."""

import dataclasses
import functools
import importlib
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from xnn import kernels
from xnn._typing import Report
from xnn._version import __version__
from xnn.errors import RunError
from xnn.paths import expanded
from xnn.runs import complete, resuming, schema
from xnn.runs.assembly import Job, make_trainer, prepare
from xnn.runs.directory import RunDirectory, RunLog, StoppedAtOnce, default_path
from xnn.runs.saving import Checkpoint
from xnn.runs.settings import Settings, known
from xnn.training.callbacks import Callback
from xnn.training.history import History
from xnn.training.trainer import Trainer


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
    was_complete
        Whether it was complete already, so that `resume` had nothing to do.
    """

    directory: Path
    history: History
    values: schema.Result | None
    _model: Any = dataclasses.field(repr=False)
    was_complete: bool = False

    @functools.cached_property
    def model(self) -> Any:
        """The trained model, or the half-trained one.

        If the run was complete already, it is made when first asked for, from the data and the last checkpoint.
        """
        return complete.trained_model(self.directory) if self.was_complete else self._model


def train(
    settings: Settings,
    *,
    callbacks: Sequence[Callback] = (),
    report: Report | None = None,
    warn: Report | None = None,
) -> Result:
    """Train by the settings and write a run directory.

    Parameters
    ----------
    settings
        What to do.
    callbacks
        Called after the run's own.
    report
        Takes lines for people.
    warn
        Takes a line where the picture of the curves cannot be drawn; `report` does where it is None.

    Raises
    ------
    UserError
        The settings, the data or the directory cannot be used; nothing has been written then.
    RunError
        A file cannot be written, as on a full disk; `resume` goes on once it can.
    StoppedAtOnce
        In place of a `KeyboardInterrupt`, once there is a directory to go on from.
    NonFiniteLoss
        Training diverged; the checkpoints before that are kept.
    TypeError
        `settings` is not a `Settings`.
    """
    if not isinstance(settings, Settings):
        raise TypeError(f"train takes Settings, as in train(Settings(epochs=1)), not {type(settings).__name__}")
    say = report or (lambda line: None)
    given = expanded(settings.run_dir, "--run-dir", RunError) if settings.run_dir else None
    if given is not None:
        RunDirectory.check_unused(given)
    job = prepare(settings, report)
    path = given or default_path(settings.dataset, settings.recipe or settings.model)
    with RunDirectory.create(path, job.settings.to_dict(), numbered=given is None) as directory:
        _introduce(job, directory, say)
        with _trainer(job, directory, callbacks) as trainer:
            return _fit(job, directory, trainer, warn or say)


def resume(
    path: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    report: Report | None = None,
    warn: Report | None = None,
    download: bool = False,
    **changes: Any,
) -> Result:
    """Go on with the run in a directory from its newest sound checkpoint; leave it as it is if it is complete.

    Parameters
    ----------
    path
        A directory that `train` wrote.
    callbacks, report
        As for `train`.
    warn
        As for `train`; also takes a line for each damaged checkpoint that is passed over, and one if the library,
        device, dtype, number of threads or a version is not the same as before.
    download
        Whether the data set may be downloaded if it is missing here. By default it may not, since the directory, which
        names it, may come from a stranger.
    **changes
        Settings to replace: ``epochs``, ``backend``, ``dtype``, ``precision``, ``threads``, ``data_dir``, ``keep``,
        ``checkpoint_every``, ``quiet``.

    Raises
    ------
    RunError
        There is nothing to resume, what there is is damaged, another process trains there, or the data has changed
        since.
    """
    with RunDirectory.open(path) as directory:
        return _resume(directory, changes, callbacks, report, warn or report or (lambda line: None), download)


def _resume(
    directory: RunDirectory,
    changes: dict[str, Any],
    callbacks: Sequence[Callback],
    report: Report | None,
    warn: Report,
    download: bool,
) -> Result:
    say = report or (lambda line: None)
    settings = resuming.saved_settings(directory, changes)
    result = complete.result_of(directory, settings.epochs if "epochs" in changes else None)
    if result is not None:
        history = complete.tidy(directory, settings, result, say, warn)
        return Result(directory.path, history, result, None, was_complete=True)
    saved, _ = directory.newest_checkpoint(resuming.check_counts)
    resuming.check_epochs(settings, saved)
    job = prepare(settings, report, download=download)
    if saved is not None:
        resuming.check_data(job, directory, saved)
    with _trainer(job, directory, callbacks) as trainer:
        saved, passed_over = directory.newest_checkpoint(lambda found: resuming.take(trainer, job, found))
        for line in passed_over:
            warn(f"passed over: {line}")
        if saved is not None:
            resuming.check_data(job, directory, saved)
            other = resuming.not_promised(job, saved)
            if other is not None:
                warn(other)
        _introduce(job, directory, say)
        if changes:
            # Prolonged by more epochs, the run is not complete any more: a kill must not make it look so.
            directory.withdraw_result()
            directory.write_config(job.settings.to_dict())
        say(resuming.whence(saved))
        return _fit(job, directory, trainer, warn)


def _introduce(job: Job, directory: RunDirectory, say: Report) -> None:
    if job.held_out_name == "validation":
        say(f"{job.held_out.images:,} of the training images are held out for validation")
    settings = job.settings
    say(
        f"{settings.model}: {job.model.parameters.flat.shape[0]:,} parameters, {settings.optimizer}, step size "
        f"{settings.lr:g}, batches of {settings.batch_size}, on {job.backend.describe()}"
    )
    slowed = kernels.held_back(job.backend)
    if slowed:
        say(slowed)
    say(f"results go to {directory.path}")


@contextmanager
def _trainer(job: Job, directory: RunDirectory, callbacks: Sequence[Callback]) -> Iterator[Trainer]:
    """Give the trainer of a run, which writes into its directory."""
    settings = job.settings
    with directory.checkpoint_folder() as folder:
        checkpoint = Checkpoint(
            folder,
            settings.keep,
            resuming.data_facts(job),
            every=settings.checkpoint_every,
            made_with=resuming.made_with(job),
            model=_description(job),
        )
        yield make_trainer(job, [checkpoint, RunLog(directory), *callbacks])


def _fit(job: Job, directory: RunDirectory, trainer: Trainer, warn: Report) -> Result:
    with _may_go_on(directory):
        directory.cut_back(trainer.step, trainer.history)
        history = trainer.fit(job.train, job.held_out, epochs=known(job.settings.epochs))
        values = None if trainer.interrupted else _finish(job, directory, trainer, warn)
    return Result(directory.path, history, values, job.model)


@contextmanager
def _may_go_on(directory: RunDirectory) -> Iterator[None]:
    """Add to an error that ends a run early how to go on."""
    try:
        yield
    except RunError as error:
        raise RunError(f"{error}; once that is mended, go on by --resume {directory.path}") from error
    except KeyboardInterrupt as stop:
        raise StoppedAtOnce(directory.path) from stop


def _finish(job: Job, directory: RunDirectory, trainer: Trainer, warn: Report) -> schema.Result:
    """Write the model, then the result, which makes the run complete, and the picture, which may fail."""
    last = trainer.history[-1]
    if "test_loss" in last and job.settings.test_views == 1:
        test = {name: last[f"test_{name}"] for name in ("loss", "accuracy")}
    else:
        # For the first time, or with several views of each image, which the epochs' rows do without.
        metrics = trainer.evaluate(job.test)
        test = {"loss": metrics.loss, "accuracy": metrics.accuracy}
    with trainer.average.applied() if trainer.average else nullcontext():
        directory.write_model(job.model.state_dict(), _description(job))
    settings = job.settings
    name = settings.recipe or settings.model
    result: schema.Result = {
        "dataset": settings.dataset,
        "recipe": name,
        "backend": job.backend.name,
        "epochs": trainer.epoch,
        "lr": known(settings.lr),
        "final_train_loss": last["train_loss"],
        "test_loss": test["loss"],
        "test_accuracy": test["accuracy"],
        "seconds": trainer.clock.elapsed,
        "peak_memory_mib": _peak_memory(),
        "parameters": int(job.model.parameters.flat.shape[0]),
        "seed": settings.seed,
        "versions": _versions(job.backend.library),
    }
    directory.write_result(result)
    complete.draw_curves(directory, settings, trainer.history, result, warn)
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


PLACES = ("data_dir", "run_dir", "backend", "quiet", "keep", "checkpoint_every", "log_every")
"""Settings that say where and how a run was made, not what it computed."""


def _peak_memory() -> float | None:
    """The most memory this process ever had, in MiB; None on Windows, which does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # KiB on Linux, bytes on macOS.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _versions(library: str) -> dict[str, str]:
    versions = {"xnn": __version__, "python": platform.python_version()}
    for name in ("numpy", library):
        versions[name] = importlib.import_module(name).__version__
    return versions
