"""What a run's end looks like: a table."""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xnn.texts import printable
from xnn.training.progress import print_line
from xnn.training.view_averaging import over_views


def table(
    columns: Iterable[str], rows: Iterable[Iterable[str]], *, left: Container[str], no_wrap: bool = False
) -> Table:
    """Return a table of texts, shown as they are; columns are aligned to the right, except those in `left`."""
    made = Table(header_style="bold", border_style="dim")
    for name in columns:
        made.add_column(name, justify="left" if name in left else "right", no_wrap=no_wrap)
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def print_result(console: Console, result: Mapping[str, Any]) -> None:
    """Print the table that sums up a run, the lab's columns first."""
    best = f", the best {result['best_epoch']}" if "best_epoch" in result else ""
    rows = {
        "data set": printable(result["dataset"]),
        "model": result["recipe"],
        "epochs": f"{result['epochs']}{best}",
        "step size": f"{result['lr']:g}",
        "final training loss": f"{result['final_train_loss']:.4f}",
        over_views("test accuracy", result["test_views"]): f"{100 * result['test_accuracy']:.2f} %",
        "parameters": f"{result['parameters']:,}",
        "seconds": f"{result['seconds']:.1f}",
    }
    if console.is_terminal and console.width >= 100:
        console.print(table(rows, [rows.values()], left=("data set", "model")))
        return
    width = max(map(len, rows))
    for name, value in rows.items():
        print_line(console, f"  {name.ljust(width)}  {value}")
