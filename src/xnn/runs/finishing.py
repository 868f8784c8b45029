"""The end of a run: the model, its result on the test set, and the picture of its curves."""

import dataclasses
import importlib
import platform
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from xnn._typing import Report
from xnn._version import __version__
from xnn.data.splits import DIVISION
from xnn.errors import RunError
from xnn.nn import saving
from xnn.runs import best, complete, schema
from xnn.runs.assembly import Job
from xnn.runs.directory import RunDirectory
from xnn.runs.machine import machine, now
from xnn.runs.settings import known
from xnn.runs.together import Together
from xnn.training.trainer import Trainer


def finish(job: Job, directory: RunDirectory, trainer: Trainer, warn: Report, together: Together) -> schema.Result:
    """Evaluate the model, and write what a complete run has; all ranks do the first, one does the second."""
    last = trainer.history[-1]
    try:
        best_epoch = best.take(trainer, job, directory, together)
    except RunError as error:
        warn(f"{error}: the model is that of the last epoch instead of the best")
        best_epoch = trainer.epoch
    if "test_loss" in last and job.settings.test_views == 1:
        test: tuple[Any, Any] = last["test_loss"], last["test_accuracy"]
    else:
        # Either the test set was not evaluated before, or images have several views, unlike in the epochs' rows.
        metrics = trainer.evaluate(job.test)
        test = metrics.loss, metrics.accuracy
    more: schema.Result = {} if together.world is None else {"ranks": together.size}
    if best_epoch is not None:
        more["best_epoch"] = best_epoch
    return together.first(lambda: _write(job, directory, trainer, test, more, warn))


def _write(
    job: Job,
    directory: RunDirectory,
    trainer: Trainer,
    test: tuple[Any, Any],
    more: schema.Result,
    warn: Report,
) -> schema.Result:
    with trainer.average.applied() if trainer.average else nullcontext():
        directory.write_model(job.model.state_dict(), description(job))
    settings = job.settings
    name = settings.recipe or settings.model
    result: schema.Result = {
        "dataset": settings.dataset,
        "recipe": name,
        "backend": job.backend.name,
        "epochs": trainer.epoch,
        "lr": known(settings.lr),
        "final_train_loss": trainer.history[-1]["train_loss"],
        "test_loss": test[0],
        "test_accuracy": test[1],
        "test_views": known(settings.test_views),
        "seconds": trainer.clock.elapsed,
        "peak_memory_mib": _peak_memory(),
        "parameters": int(job.model.parameters.flat.shape[0]),
        "seed": settings.seed,
        "training_images": job.train.images,
        "finished": now(),
        "machine": machine(job.backend),
        "versions": _versions(job.backend.library),
    }
    result.update(more)
    directory.write_result(result)
    complete.draw_curves(directory, settings, trainer.history, result, warn)
    return result


def description(job: Job) -> dict[str, Any]:
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


PLACES = ("data_dir", "run_dir", "backend", "quiet", "keep", "checkpoint_every", "log_every", "tensorboard")
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
