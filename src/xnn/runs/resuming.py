"""What must be true, and what can be promised, when a run resumes from a checkpoint."""

import dataclasses
import importlib
import importlib.metadata
import platform
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from xnn import kernels
from xnn._version import __version__
from xnn.data.splits import DIVISION
from xnn.data.torchvision import PREFIX
from xnn.errors import RunError
from xnn.kernels import threads
from xnn.runs import schema
from xnn.runs.assembly import Job
from xnn.runs.checkpoints import Saved
from xnn.runs.reading import RunFiles
from xnn.runs.settings import Settings, known
from xnn.training.trainer import Trainer


def saved_settings(directory: RunFiles, changes: dict[str, Any]) -> Settings:
    """Return the settings of the run in a directory, with some replaced.

    Raises
    ------
    RunError
        Its config.json is damaged.
    """
    settings = directory.read_settings()
    if settings.epochs is None:
        raise RunError(f"{directory.config} is damaged: it has no number of epochs")
    if settings.data_dir is not None and settings.dataset.startswith(PREFIX) and "data_dir" not in changes:
        raise RunError(
            f"--resume {directory.path}: torchvision's code would read the data in {settings.data_dir}, a folder that "
            "the run names; if you trust what is in it, name it again with --data-dir"
        )
    return dataclasses.replace(settings, **(changes | {"run_dir": str(directory.path)}))


def check_epochs(settings: Settings, saved: Saved | None) -> None:
    """Raise a `RunError` if the run is already beyond the epoch at which it should end."""
    done, batch = (saved.info["epoch"], saved.info["batch"]) if saved else (0, 0)
    if (known(settings.epochs), 0) < (done, batch):
        raise RunError(f"--epochs {settings.epochs}: the run has already begun epoch {done + 1}")


def data_facts(job: Job) -> dict[str, Any]:
    """Return what a checkpoint records about its data: enough to notice another data set, and cheap to compute."""
    labels = job.train.split.labels.astype("<i8")
    divided = {"way of dividing": DIVISION} if job.divided else {}
    return divided | {
        "training images": job.train.images,
        "batch size": job.train.batch_size,
        "classes": len(job.dataset.classes),
        "checksum of the labels": zlib.crc32(labels.tobytes()),
    }


def check_data(job: Job, directory: RunFiles, saved: Saved) -> None:
    """Raise a `RunError` if the data is not the data that the run began with."""
    now, then = data_facts(job), saved.info.get("data", {})
    # The same number of images of each class does not make them the same images.
    if now.get("way of dividing") != then.get("way of dividing"):
        raise RunError(
            f"--resume {directory.path}: the version of xnn that began the run chose other images to hold back; go on "
            "with that version, or begin a new run"
        )
    different = _changes(now, then)
    if different:
        raise RunError(
            f"--resume {directory.path}: the data is not what the run began with: {different}; "
            "put it back, or begin a new run"
        )


def made_with(job: Job, ranks: int = 1) -> dict[str, str]:
    """Return facts about what computed a checkpoint; if any of them differs, results may differ in the last digits."""
    facts = {
        "backend": job.backend.name,
        "dtype": job.settings.dtype,
        "precision": known(job.settings.precision),
        "threads": str(threads.count()),
        "ranks": str(ranks),
        "machine": f"{platform.system()} {platform.machine()}",
        "xnn": __version__,
    }
    for name in ("numpy", job.backend.library):
        facts[name] = importlib.import_module(name).__version__
    if job.backend.library == "numpy":
        compiled = kernels.twins(job.backend)
        facts["compiled kernels"] = f"by numba {importlib.metadata.version('numba')}" if compiled else "none"
    return facts | kernels.products(job.backend)


def _changes(now: Mapping[str, Any], then: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {now[name]}, not {then[name]}" for name in now if now[name] != then.get(name, now[name]))


def not_promised(job: Job, saved: Saved, ranks: int = 1) -> str | None:
    """Return a line that names those facts that have changed since the checkpoint; None if none has."""
    different = _changes(made_with(job, ranks), saved.info.get("made_with", {}))
    if not different:
        return None
    return (
        f"goes on with {different}: nothing is lost, but the results will not match those of an "
        "uninterrupted run digit for digit"
    )


def check_counts(saved: Saved) -> Saved:
    """Return a checkpoint after checking its counts, or raise a `ValueError` if it does not hold a trainer's state."""
    try:
        return dataclasses.replace(saved, info=dict(schema.state(saved.info)))
    except ValueError as error:
        raise ValueError(f"{saved.path} is damaged: {error}") from error


def take(trainer: Trainer, job: Job, saved: Saved) -> None:
    """Load a checkpoint into the trainer, or raise a `ValueError` if it does not belong to this run."""
    saved = check_counts(saved)
    info, batches = saved.info, len(job.train)
    if info["batch"] > batches or info["step"] != info["epoch"] * batches + info["batch"]:
        raise ValueError(
            f"{saved.path} is damaged: step {info['step']} is not batch {info['batch']} of {batches} after "
            f"{info['epoch']} epochs"
        )
    odd = [f"'{name}' of {array.dtype}" for name, array in saved.arrays.items() if array.dtype.name != info["dtype"]]
    if odd:
        raise ValueError(f"{saved.path} is damaged: its arrays are of {info['dtype']}, except for {', '.join(odd)}")
    fitting = in_dtype(saved, job.settings.dtype)
    try:
        trainer.load_state_dict(fitting.arrays, fitting.info)
    except ValueError as error:
        raise ValueError(f"{saved.path} does not fit the run's settings: {error}") from error


def in_dtype(saved: Saved, dtype: str) -> Saved:
    """Return the state with its numbers rounded to a type, if they have another one."""
    old = saved.info["dtype"]
    if old == dtype:
        return saved
    with np.errstate(over="ignore", under="ignore"):  # the first loss reveals a weight that overflows
        arrays = {
            name: array.astype(dtype) if array.dtype.name == old else array for name, array in saved.arrays.items()
        }
    return Saved(saved.path, arrays, saved.info | {"dtype": dtype})


def whence(saved: Saved | None) -> str:
    """Return a line that says from where the run goes on."""
    if saved is None:
        return "stopped before its first checkpoint: begins again"
    inside = f", batch {saved.info['batch']}" if saved.info["batch"] else ""
    return f"goes on after epoch {saved.info['epoch']}{inside}"
