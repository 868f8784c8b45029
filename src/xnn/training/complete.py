"""Runs that are over: how one is told, the picture it leaves, and the model it trained."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xnn.errors import FolderGone, RunError
from xnn.paths import reason
from xnn.training import curves, resuming
from xnn.training.assembly import make_trainer, prepare
from xnn.training.checkpoints import Saved
from xnn.training.files import read_json_lines
from xnn.training.history import History
from xnn.training.run_directory import RunDirectory
from xnn.training.settings import Settings
from xnn.training.trainer import Trainer

Report = Callable[[str], None]


def result_of(directory: RunDirectory, epochs: int | None) -> dict[str, Any] | None:
    """Return the result of a run that is complete, None of one that is not or is to go on.

    Parameters
    ----------
    directory : RunDirectory
    epochs : int or None
        How many there are to be in all; None for as many as there are.

    Raises
    ------
    RunError
        There are to be fewer than there are, or result.json is damaged.
    """
    result = _read_result(directory.result)
    if result is None:
        return None
    done = result["epochs"]
    if epochs is not None and epochs < done:
        raise RunError(
            f"--epochs {epochs}: the run is complete after {done}; give --epochs {done + 1} or more to go on"
        )
    return result if epochs in (None, done) else None


def _read_result(path: Path) -> dict[str, Any] | None:
    try:
        result = json.loads(path.read_bytes())
        if not isinstance(result["epochs"], int) or not math.isfinite(result["test_accuracy"]):
            raise ValueError("expected a number of epochs and an accuracy")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is damaged: {reason(error)}; delete it, and --resume {path.parent} writes it again"
        ) from error
    complete: dict[str, Any] = result
    return complete


def tidy(directory: RunDirectory, settings: Settings, result: dict[str, Any], say: Report, warn: Report) -> History:
    """Say that a run is complete, draw its picture if a kill came before that, and return its history."""
    done = result["epochs"]
    say(
        f"the run in {directory.path} is complete after {done} epoch{'' if done == 1 else 's'}; "
        f"give --epochs {done + 1} or more to go on"
    )
    history = History(read_json_lines(directory.metrics))
    if not directory.curves.exists():
        draw_curves(directory, settings, history, result, warn)
    return history


def draw_curves(
    directory: RunDirectory, settings: Settings, history: History, result: dict[str, Any], warn: Report
) -> None:
    """Write curves.png; where that cannot be, the run is complete without, and `warn` takes a line."""
    name = settings.recipe or settings.model
    data, accuracy = Path(settings.dataset).name, 100 * result["test_accuracy"]
    try:
        curves.draw(
            directory.curves,
            history,
            read_json_lines(directory.intervals),
            title=f"{data}, {name}: {accuracy:.2f} % of the test images",
            held_out="validation" if settings.validation else "test",
        )
    except FolderGone:
        raise
    except Exception as error:  # noqa: BLE001 - Matplotlib may raise anything, and no picture is worth a result
        kind = "" if isinstance(error, RunError) else f"{type(error).__name__}: "
        warn(f"no {directory.curves.name}: {kind}{' '.join(str(error).split())}; the run is complete without")


def trained_model(path: Path) -> Any:
    """Return the model of a run that is complete, in the state of its last checkpoint.

    Raises
    ------
    UserError
        The data or the checkpoints are gone or damaged.
    """
    directory = RunDirectory.existing(path, "--resume")
    saved, _ = directory.newest_checkpoint()
    if saved is None:
        raise RunError(f"--resume {path}: its checkpoints are gone")
    job = prepare(resuming.saved_settings(directory, {}))
    load_state(make_trainer(job, []), saved)
    return job.model


def load_state(trainer: Trainer, saved: Saved) -> None:
    """Go to where a checkpoint was written.

    Raises
    ------
    RunError
        It is of another model or optimizer.
    """
    try:
        trainer.load_state_dict(saved.arrays, saved.info)
    except ValueError as error:
        raise RunError(f"{saved.path} does not fit the run's settings: {error}") from error
