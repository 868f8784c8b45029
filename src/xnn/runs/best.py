"""The best epoch of a run, as --keep-best keeps it."""

from xnn.errors import RunError
from xnn.runs import resuming
from xnn.runs.assembly import Job
from xnn.runs.reading import RunFiles
from xnn.runs.together import Together
from xnn.training import state
from xnn.training.trainer import Trainer


def column(job: Job) -> str | None:
    """Return the name of the history's column whose lowest value is the best; None without --keep-best."""
    return f"{job.held_out_name}_loss" if job.settings.keep_best else None


def take(trainer: Trainer, job: Job, directory: RunFiles, together: Together | None = None) -> int | None:
    """Give the model the weights of the best epoch, and return its number; None without --keep-best.

    Raises
    ------
    RunError
        Its checkpoint is gone, damaged, or of another model.
    """
    name = column(job)
    best = None if name is None else trainer.history.best(name)
    if best is None or (best, 0) == (trainer.epoch, trainer.batch):
        return best
    epoch = best
    saved = (together or Together()).saved(lambda: directory.epoch_checkpoint(epoch))
    assert saved is not None
    try:
        fitting = resuming.in_dtype(resuming.check_counts(saved), job.settings.dtype)
        state.load_weights(trainer, fitting.arrays, fitting.info)
    except ValueError as error:
        raise RunError(f"{saved.path} does not fit the run: {error}") from error
    return best
