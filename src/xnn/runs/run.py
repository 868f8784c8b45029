"""A complete run: from settings to a directory with a trained model and its results."""

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
from xnn.data.splits import DIVISION
from xnn.errors import RunError
from xnn.nn import saving
from xnn.paths import expanded
from xnn.runs import best, complete, resuming, schema
from xnn.runs.assembly import Job, make_trainer, prepare
from xnn.runs.directory import RunDirectory, RunLog, StoppedAtOnce, default_path
from xnn.runs.saving import Checkpoint
from xnn.runs.settings import Settings, known
from xnn.training.callbacks import Callback
from xnn.training.history import History
from xnn.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a run.

    Attributes
    ----------
    directory
        Where everything was written.
    history
        The rows of the epochs.
    values
        The content of result.json; None if the run was interrupted.
    was_complete
        Whether the run was complete already, so that `resume` had nothing to do.
    """

    directory: Path
    history: History
    values: schema.Result | None
    _model: Any = dataclasses.field(repr=False)
    was_complete: bool = False

    @functools.cached_property
    def model(self) -> Any:
        """The trained model, or the half-trained one.

        If the run was complete already, the model is made on first use, from the data and the last checkpoint.
        """
        return complete.trained_model(self.directory) if self.was_complete else self._model


def train(
    settings: Settings,
    *,
    callbacks: Sequence[Callback] = (),
    report: Report | None = None,
    warn: Report | None = None,
) -> Result:
    """Train as the settings say and write a run directory.

    Parameters
    ----------
    settings
        What to do.
    callbacks
        Called after the run's own.
    report
        Takes lines for people.
    warn
        Takes a line if the picture of the curves cannot be drawn; by default `report` takes it.

    Raises
    ------
    UserError
        The settings, the data or the directory cannot be used; then nothing has been written.
    RunError
        A file cannot be written, for instance on a full disk; `resume` goes on once it can be.
    StoppedAtOnce
        Instead of a `KeyboardInterrupt`, once there is a directory to resume from.
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
    path = given or default_path(settings.dataset, settings.recipe or job.settings.model)
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
    """Continue the run in a directory from its newest sound checkpoint; leave a complete run as it is.

    Parameters
    ----------
    path
        A directory that `train` wrote.
    callbacks, report
        As for `train`.
    warn
        As for `train`; also takes a line for each damaged checkpoint that is skipped, and one if the library, device,
        dtype, number of threads or a version differs from before.
    download
        Whether to download the data set if it is missing here. By default it is not downloaded, since the directory,
        which names it, may come from a stranger.
    **changes
        Settings to replace: ``epochs``, ``backend``, ``dtype``, ``precision``, ``threads``, ``data_dir``, ``keep``,
        ``checkpoint_every``, ``quiet``.

    Raises
    ------
    RunError
        There is nothing to resume, it is damaged, another process trains there, or the data has changed since.
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
    job = prepare(settings, report, download=download, starting=saved is None)
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
            # With more epochs to do, the run is no longer complete, and must not look complete after a kill.
            directory.withdraw_result()
            directory.write_config(job.settings.to_dict())
        say(resuming.whence(saved))
        return _fit(job, directory, trainer, warn)


def _introduce(job: Job, directory: RunDirectory, say: Report) -> None:
    if job.settings.validation:
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
    """Yield the trainer of a run, which writes into the run's directory."""
    settings = job.settings
    with directory.checkpoint_folder() as folder:
        checkpoint = Checkpoint(
            folder,
            settings.keep,
            resuming.data_facts(job),
            every=settings.checkpoint_every,
            made_with=resuming.made_with(job),
            best=best.column(job),
            at_start=settings.from_ is not None,
            model=_description(job),
        )
        yield make_trainer(job, [checkpoint, RunLog(directory), *callbacks])


def _fit(job: Job, directory: RunDirectory, trainer: Trainer, warn: Report) -> Result:
    with _may_go_on(directory):
        directory.cut_back(trainer.step, trainer.history)
        history = trainer.fit(job.train, job.held_out, until=known(job.settings.epochs))
        values = None if trainer.interrupted else _finish(job, directory, trainer, warn)
    return Result(directory.path, history, values, job.model)


@contextmanager
def _may_go_on(directory: RunDirectory) -> Iterator[None]:
    """Add to an error that ends a run early how to resume it."""
    try:
        yield
    except RunError as error:
        raise RunError(f"{error}; once that is fixed, go on with --resume {directory.path}") from error
    except KeyboardInterrupt as stop:
        raise StoppedAtOnce(directory.path) from stop


def _finish(job: Job, directory: RunDirectory, trainer: Trainer, warn: Report) -> schema.Result:
    """Write the model, then the result, which makes the run complete, and the picture, which may fail."""
    last = trainer.history[-1]
    try:
        best_epoch = best.take(trainer, job, directory)
    except RunError as error:
        warn(f"{error}: the model is that of the last epoch instead of the best")
        best_epoch = trainer.epoch
    if "test_loss" in last and job.settings.test_views == 1:
        test: dict[str, Any] = {"loss": last["test_loss"], "accuracy": last["test_accuracy"]}
    else:
        # Either the test set was not evaluated before, or images have several views, unlike in the epochs' rows.
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
        "test_views": known(settings.test_views),
        "seconds": trainer.clock.elapsed,
        "peak_memory_mib": _peak_memory(),
        "parameters": int(job.model.parameters.flat.shape[0]),
        "seed": settings.seed,
        "versions": _versions(job.backend.library),
    }
    if best_epoch is not None:
        result["best_epoch"] = best_epoch
    directory.write_result(result)
    complete.draw_curves(directory, settings, trainer.history, result, warn)
    return result


def _description(job: Job) -> dict[str, Any]:
    """Return what one needs to use model.safetensors; nothing in it depends on where or when it was trained."""
    settings = job.settings.to_dict()
    for name in PLACES:
        del settings[name]
    # Of folders their own names, not where they are.
    settings["dataset"] = Path(job.settings.dataset).name
    settings["from_"] = None if job.settings.from_ is None else Path(job.settings.from_).name
    # Which images were left for the test, where they were chosen here.
    division = {"division": DIVISION} if job.dataset.divided else {}
    return division | {
        "model": job.settings.model,
        "image_shape": list(job.dataset.image_shape),
        "classes": list(job.dataset.classes),
        "normalization": dataclasses.asdict(job.normalization),
        "settings": settings,
        # By which `xnn.load` makes it.
        **saving.description(job.model),
    }


PLACES = ("data_dir", "run_dir", "backend", "quiet", "keep", "checkpoint_every", "log_every")
"""Settings that say where and how a run was made, not what it computed."""


def _peak_memory() -> float | None:
    """Return the most memory that this process ever had, in MiB; None on Windows, which does not report it."""
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
