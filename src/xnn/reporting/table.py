"""The table that sums up runs, with a row for each and the lab's columns."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnn.reporting.saved import SavedRun
from xnn.reporting.values import number, real, short
from xnn.runs.complete import views_behind

if TYPE_CHECKING:
    from rich.console import Console

TEXT_COLUMNS = ("run", "data set", "model")
"""Columns aligned to the left; the others hold numbers."""


def summary(run: SavedRun) -> dict[str, str]:
    """Return a run's row: column to text, with a dash for values that are not known yet.

    Test accuracy is that of result.json, averaged over the test views; a run that is not complete has none, and its
    other values are those of its last whole epoch.
    """
    settings, result = run.settings, run.result or {}
    last: Mapping[str, Any] = run.history[-1] if run.history else {}
    epochs = f"{len(run.history)}" if run.result else f"{len(run.history)} of {settings.epochs}"
    known = [seconds for row in run.history if (seconds := real(row.get("seconds"))) is not None]
    return {
        "run": short(run.path.name or run.path),
        # For a folder only its name, not its path.
        "data set": short(Path(settings.dataset).name),
        "model": short(result.get("recipe", settings.model)),
        "epochs": epochs,
        "step size": "-" if settings.lr is None else f"{settings.lr:g}",
        "final training loss": number(result.get("final_train_loss", last.get("train_loss")), "{:.4f}"),
        "test accuracy": number(result.get("test_accuracy"), "{:.2%}").replace("%", " %"),
        "test views": number(views_behind(run.result, settings), "{}"),
        "parameters": number(result.get("parameters"), "{:,}"),
        "seconds": number(result.get("seconds", sum(known) if known else None), "{:,.1f}"),
    }


def print_table(console: "Console", runs: Sequence[SavedRun]) -> None:
    """Print the rows of some runs as a table or, if the terminal is too narrow, one value below the other."""
    from rich.cells import cell_len

    from xnn.runs.progress import table
    from xnn.training.progress import print_line

    rows = [summary(run) for run in runs]
    width = sum(max(len(name), *(cell_len(row[name]) for row in rows)) + 3 for name in rows[0]) + 1
    if width <= console.width or not console.is_terminal:
        # A file or a pipe has no edge at which a column would have to be cut off.
        console.width = max(width, console.width)
        console.print(table(rows[0], (row.values() for row in rows), left=TEXT_COLUMNS, no_wrap=True))
        return
    names = max(map(len, rows[0]))
    for row in rows:
        print_line(console, row["run"], "bold")
        for column, value in list(row.items())[1:]:
            print_line(console, f"  {column.ljust(names)}  {value}")


def markdown(runs: Sequence[SavedRun]) -> str:
    """Return the rows of some runs as a Markdown table."""
    rows = [summary(run) for run in runs]
    names = list(rows[0])
    lines = [names, ["---" if name in TEXT_COLUMNS else "---:" for name in names]]
    lines += [[_escaped(row[name]) for name in names] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(text: str) -> str:
    """Escape a name, so that it neither ends its cell nor becomes code, a link, a picture or HTML."""
    return re.sub(r"[\\|`<>\[\]]", r"\\\g<0>", " ".join(text.split()))
