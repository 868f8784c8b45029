"""Complete runs: how to recognise one, its picture, and its model."""

from pathlib import Path
from typing import Any

from xnn._typing import Report
from xnn.errors import RunError
from xnn.runs import best, curves, resuming, schema
from xnn.runs.assembly import prepare
from xnn.runs.directory import RunDirectory
from xnn.runs.reading import RunFiles
from xnn.runs.settings import Settings, known
from xnn.runs.trainer import make_trainer
from xnn.training.history import History, judged_on
from xnn.training.plotting import spared
from xnn.training.view_averaging import over_views


def result_of(directory: RunFiles, epochs: int | None) -> schema.Result | None:
    """Return the result of a complete run; None if it is not complete, or should go on.

    Parameters
    ----------
    directory : RunFiles
    epochs : int or None
        How many are wanted in all; None for as many as were done.

    Raises
    ------
    RunError
        Fewer are wanted than were done, or result.json is damaged.
    """
    try:
        result = directory.read_result()
        for name in ("epochs", "test_accuracy"):
            if result is not None and name not in result:
                raise RunError(f"{directory.result} is damaged: it has no {name}")
    except RunError as error:
        raise RunError(f"{error}; delete it, and --resume {directory.path} writes it again") from error
    if result is None:
        return None
    done = result["epochs"]
    if epochs is not None and epochs < done:
        raise RunError(
            f"--epochs {epochs}: the run is complete after {done}; give --epochs {done + 1} or more to go on"
        )
    return result if epochs in (None, done) else None


def tidy(directory: RunDirectory, settings: Settings, result: schema.Result, say: Report, warn: Report) -> History:
    """Say that a run is complete, draw its picture if it was killed before that, and return its history."""
    done = result["epochs"]
    ended = f"the run in {directory.path} is complete after {done} epoch{'' if done == 1 else 's'}"
    if settings.early_stopping and done < known(settings.epochs):
        say(f"{ended}: its validation loss had stopped falling")
    else:
        say(f"{ended}; give --epochs {done + 1} or more to go on")
    history = directory.read_metrics()
    if not directory.has(directory.curves):
        draw_curves(directory, settings, history, result, warn)
    return history


def views_behind(result: schema.Result | None, settings: Settings) -> int:
    """Return over how many views of each image a run's test accuracy is averaged."""
    told = (result or {}).get("test_views")
    # Results of earlier versions do not say it, and settings from before there were views have none.
    return told if isinstance(told, int) and told > 0 else settings.test_views or 1


def draw_curves(
    directory: RunDirectory, settings: Settings, history: History, result: schema.Result, warn: Report
) -> None:
    """Write curves.png; if that fails, the run is complete without it, and `warn` gets a line."""
    name = settings.recipe or settings.model
    views = views_behind(result, settings)
    told = over_views(f"{100 * result['test_accuracy']:.2f} % of the test images", views)
    with spared(directory.curves.name, "run", warn):
        picture = curves.draw(
            history,
            directory.read_intervals(),
            title=f"{Path(settings.dataset).name}, {name}: {told}",
            held_out=judged_on(history),
            views=views,
        )
        directory.write_curves(picture)


def trained_model(path: Path) -> Any:
    """Return the model of a run that is complete, in the state of its last checkpoint, or of the best that it kept.

    Raises
    ------
    UserError
        The data or the checkpoints are missing or damaged.
    """
    with RunFiles.existing(path, "--resume") as directory:
        saved, _ = directory.newest_checkpoint(resuming.check_counts)
        if saved is None:
            raise RunError(f"--resume {path}: its checkpoints are gone")
        job = prepare(resuming.saved_settings(directory, {}), download=False, starting=False)
        trainer = make_trainer(job, [])
        directory.newest_checkpoint(lambda found: resuming.take(trainer, job, found))
        best.take(trainer, job, directory)
    return job.model
