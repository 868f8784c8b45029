"""What a sweep came to: a table of its trials, for people and as CSV, and the winner on the test set."""

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from xnn._typing import Report
from xnn.files import write_atomically
from xnn.runs import run
from xnn.runs.schema import Result
from xnn.runs.settings import Settings
from xnn.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

CSV, PICTURE, WINNER = "trials.csv", "sweep.png", "winner.json"
_NOTES = ("validation_accuracy", "validation_loss", "epochs", "seconds", "why")


def columns(sweep: Sweep) -> tuple[str, ...]:
    """Return the names of the table's columns."""
    return ("trial", "outcome", "validation accuracy", "loss", "epochs", "seconds", *sweep.space.texts)


def rows(sweep: Sweep) -> list[list[str]]:
    """Return the table's rows: the best trial first, then the others in order of their score, then those without."""
    winner = sweep.winner()
    made = []
    for trial in sorted(sweep.trials(), key=lambda trial: _order(sweep, trial)):
        notes = trial.user_attrs
        accuracy, loss = notes.get("validation_accuracy"), notes.get("validation_loss")
        outcome = notes.get("why", "under way")
        made.append(
            [
                str(trial.number),
                "best" if winner is not None and trial.number == winner.number else outcome,
                "" if accuracy is None else f"{100 * accuracy:.2f} %",
                "" if loss is None else f"{loss:.4f}",
                str(notes.get("epochs", "")),
                f"{notes['seconds']:.1f}" if "seconds" in notes else "",
                *(brief(trial.params.get(name, "")) for name in sweep.space.texts),
            ]
        )
    return made


def _order(sweep: Sweep, trial: "FrozenTrial") -> tuple[bool, float, float, int]:
    accuracy, loss = trial.user_attrs.get("validation_accuracy"), trial.user_attrs.get("validation_loss")
    if accuracy is None or loss is None:
        return True, 0.0, 0.0, trial.number
    first = -accuracy if sweep.definition.score == "accuracy" else loss
    return False, first, loss, trial.number


def brief(value: Any) -> str:
    """Return a value as a table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def named(sweep: Sweep, trial: "FrozenTrial") -> str:
    """Return what was drawn for a trial, in one line."""
    return " ".join(f"{name}={brief(trial.params[name])}" for name in sweep.space.texts)


def write_csv(sweep: Sweep) -> None:
    """Write `CSV` into the sweep's folder: a line for each trial, in order, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *_NOTES, *sweep.space.texts, "folder"])
    for trial in sweep.trials():
        notes = [trial.user_attrs.get(name, "") for name in _NOTES]
        params = [trial.params.get(name, "") for name in sweep.space.texts]
        folder = sweep.place(trial.number).name
        writer.writerow([trial.number, trial.state.name.lower(), *notes, *params, folder])
    write_atomically(sweep.folder / CSV, text.getvalue().encode())


def finish_winner(sweep: Sweep, changes: dict[str, Any], warn: Report) -> Result | None:
    """Let the winner meet the test set, unless it has; return its result, which its run directory keeps.

    None if no trial is complete, or if the winner's folder is on another machine.

    Raises
    ------
    UserError
        The run cannot be read, or its result cannot be written.
    """
    with sweep.testing():
        best = sweep.winner()
        if best is None or not sweep.place(best.number).is_dir():
            return None
        result = run.resume(sweep.place(best.number), warn=warn, **changes).values
        assert result is not None
        content = {
            "trial": best.number,
            "settings": best.params,
            "validation_accuracy": best.user_attrs["validation_accuracy"],
            "validation_loss": best.user_attrs["validation_loss"],
            "test_accuracy": result["test_accuracy"],
            "test_loss": result["test_loss"],
            "trials": len(sweep.finished()),
        }
        write_atomically(sweep.folder / WINNER, (json.dumps(content, indent=2) + "\n").encode())
    return result


def settings_of(sweep: Sweep, trial: "FrozenTrial") -> Settings:
    """Return the settings by which a trial is trained again on all training images."""
    chosen = {**sweep.definition.settings, **sweep.space.settings(trial.params)}
    if not (chosen.get("keep_best") or chosen.get("early_stopping")):
        chosen.pop("validation", None)
    return Settings(**chosen)
