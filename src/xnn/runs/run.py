"""A complete run: from settings to a directory with a trained model and its results."""

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from xnn import kernels
from xnn._typing import Report
from xnn.distributed.world import World
from xnn.errors import RunError
from xnn.paths import expanded
from xnn.runs import best, checkpoints, complete, resuming
from xnn.runs.assembly import Job, prepare
from xnn.runs.directory import RunDirectory, RunLog, StoppedAtOnce, default_path
from xnn.runs.finishing import description, finish
from xnn.runs.result import Result
from xnn.runs.saving import Checkpoint
from xnn.runs.settings import Settings, known
from xnn.runs.together import Together
from xnn.runs.trainer import make_trainer
from xnn.runs.watching import check_tensorboard, events
from xnn.training.callbacks import Callback
from xnn.training.history import History
from xnn.training.trainer import Trainer


def train(
    settings: Settings,
    *,
    callbacks: Sequence[Callback] = (),
    report: Report | None = None,
    warn: Report | None = None,
    world: World | None = None,
    test: bool = True,
    progress: bool | None = None,
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
    world
        The processes that train together, all of which make this call; see `xnn.distributed.mpi`. The first one writes;
        let only it have a `report`, and callbacks that write or print.
    test
        Whether the run ends with the test set, its result and its model. Without, it stays as a kill after the last
        epoch would leave it, so that `resume` can do that later.
    progress
        Whether to show how far training has come. By default it is shown in a notebook, unless the settings are to be
        quiet, and nowhere else.

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
    together = Together(world)
    together.agree_on_settings(settings)
    check_tensorboard(settings, together)
    together.introduce(settings.threads, say)
    given = expanded(settings.run_dir, "--run-dir", RunError) if settings.run_dir else None
    if given is not None:
        together.first(lambda: RunDirectory.check_unused(given))
    job = prepare(settings, report, together=together)

    def created() -> AbstractContextManager[RunDirectory]:
        path = given or default_path(settings.dataset, settings.recipe or job.settings.model)
        return RunDirectory.create(path, job.settings.to_dict(), numbered=given is None)

    with together.directory(created) as directory:
        _introduce(job, directory, say, together)
        with _trainer(job, directory, callbacks, together) as trainer:
            return _fit(job, directory, trainer, say, warn or say, together, test, progress)


def resume(
    path: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    report: Report | None = None,
    warn: Report | None = None,
    download: bool = False,
    world: World | None = None,
    test: bool = True,
    progress: bool | None = None,
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
    world
        As for `train`; there may be more ranks than before, or fewer.
    test, progress
        As for `train`.
    **changes
        Settings to replace: ``epochs``, ``backend``, ``dtype``, ``precision``, ``threads``, ``data_dir``, ``keep``,
        ``checkpoint_every``, ``tensorboard``, ``quiet``.

    Raises
    ------
    RunError
        There is nothing to resume, it is damaged, another process trains there, or the data has changed since.
    """
    together = Together(world)
    together.agree_on({"--resume": str(path)})
    together.agree_on_settings(Settings(**changes))
    with together.directory(lambda: RunDirectory.open(path)) as directory:
        heard = warn or report or (lambda line: None)
        return _resume(directory, changes, callbacks, report, heard, download, together, test, progress)


def _resume(
    directory: RunDirectory,
    changes: dict[str, Any],
    callbacks: Sequence[Callback],
    report: Report | None,
    warn: Report,
    download: bool,
    together: Together,
    test: bool,
    progress: bool | None,
) -> Result:
    say = report or (lambda line: None)
    first = together.first
    settings = Settings.from_dict(first(lambda: resuming.saved_settings(directory, changes).to_dict()))
    result = first(lambda: complete.result_of(directory, settings.epochs if "epochs" in changes else None))
    if result is not None:
        history = History(first(lambda: complete.tidy(directory, settings, result, say, warn)))
        return Result(directory.path, history, result, None, was_complete=True)
    check_tensorboard(settings, together)
    together.introduce(settings.threads, say)
    if together.world is not None and "backend" not in changes and (settings.backend or "").startswith("cupy:"):
        settings = dataclasses.replace(settings, backend="cupy")  # one process's device is not that of every rank

    def begun() -> bool:
        found, _ = directory.newest_checkpoint(resuming.check_counts)
        resuming.check_epochs(settings, found)
        return found is not None

    job = prepare(settings, report, download=download, starting=not first(begun), together=together)
    with _trainer(job, directory, callbacks, together) as trainer:
        saved = _taken(job, directory, trainer, warn, together)
        _introduce(job, directory, say, together)

        def reopened() -> None:
            # With more epochs to do, the run is no longer complete, and must not look complete after a kill.
            directory.withdraw_result()
            directory.write_config(job.settings.to_dict())

        if changes:
            first(reopened)
        say(resuming.whence(saved))
        return _fit(job, directory, trainer, say, warn, together, test, progress)


def _taken(
    job: Job, directory: RunDirectory, trainer: Trainer, warn: Report, together: Together
) -> checkpoints.Saved | None:
    """Load the newest sound checkpoint into the trainers of all ranks, and return it."""

    def take() -> checkpoints.Saved | None:
        found, _ = directory.newest_checkpoint(resuming.check_counts)
        if found is not None:
            resuming.check_data(job, directory, found)
        saved, passed_over = directory.newest_checkpoint(lambda found: resuming.take(trainer, job, found))
        for line in passed_over:
            warn(f"passed over: {line}")
        if saved is not None:
            resuming.check_data(job, directory, saved)
            other = resuming.not_promised(job, saved, together.size)
            if other is not None:
                warn(other)
        return saved

    saved = together.saved(take)
    if saved is not None and not together.is_first:
        resuming.take(trainer, job, saved)
    return saved


def _introduce(job: Job, directory: RunDirectory, say: Report, together: Together) -> None:
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
    if together.world is not None:
        say(f"if one of the ranks dies, all end; go on with: xnn-train --resume {shlex.quote(str(directory.path))}")


@contextmanager
def _trainer(job: Job, directory: RunDirectory, callbacks: Sequence[Callback], together: Together) -> Iterator[Trainer]:
    """Yield the trainer of a run, which writes into the run's directory."""
    settings = job.settings
    with ExitStack() as stack:
        folder = together.all(lambda: stack.enter_context(directory.checkpoint_folder()))
        checkpoint = Checkpoint(
            folder,
            settings.keep,
            resuming.data_facts(job),
            every=settings.checkpoint_every,
            made_with=resuming.made_with(job, together.size),
            best=best.column(job),
            at_start=settings.from_ is not None,
            model=description(job),
        )
        # Before the checkpoint, which is what a resumed run goes back to.
        watching = [events(job, directory)] if settings.tensorboard and together.is_first else []
        yield make_trainer(job, [*watching, checkpoint, RunLog(directory), *callbacks], together.world)


def _fit(
    job: Job,
    directory: RunDirectory,
    trainer: Trainer,
    say: Report,
    warn: Report,
    together: Together,
    test: bool,
    progress: bool | None,
) -> Result:
    if progress is None and job.settings.quiet:
        progress = False
    with _may_go_on(directory):
        together.first(lambda: directory.cut_back(trainer.step, trainer.history))
        history = trainer.fit(job.train, job.held_out, until=known(job.settings.epochs), progress=progress)
        if trainer.epoch < known(job.settings.epochs) and not trainer.interrupted:
            say(f"ended after epoch {trainer.epoch} of {job.settings.epochs}: {trainer.stop_reason}")
        values = None if trainer.interrupted or not test else finish(job, directory, trainer, warn, together)
    return Result(directory.path, history, values, job.model, was_stopped=trainer.interrupted)


@contextmanager
def _may_go_on(directory: RunDirectory) -> Iterator[None]:
    """Add to an error that ends a run early how to resume it."""
    try:
        yield
    except RunError as error:
        raise RunError(f"{error}; once that is fixed, go on with --resume {directory.path}") from error
    except KeyboardInterrupt as stop:
        raise StoppedAtOnce(directory.path) from stop
