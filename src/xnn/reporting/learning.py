"""The part of a page that shows how a run learned: charts, and the epochs' rows as a table."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from markupsafe import Markup

from xnn.reporting import charts
from xnn.reporting.charts import Line
from xnn.reporting.markup import figure, folded, scrolling, table
from xnn.reporting.saved import SavedRun
from xnn.reporting.values import number, real
from xnn.runs.complete import views_behind
from xnn.training.view_averaging import of_one_view

MOST_ROWS = 1000
"""Most rows in the table; if there are more epochs, it shows a selection at even distances."""


def learning(run: SavedRun) -> Markup:
    """Return the charts of a run's epochs and intervals, and the table of its epochs."""
    rows, held_out, views = run.history, run.held_out, views_behind(run.result, run.settings)
    judged = of_one_view(held_out, views)
    if not rows and not run.intervals:
        return Markup("<p>No epoch is done yet.</p>")
    epochs, interval = partial(_points, rows, "epoch"), partial(_points, run.intervals, "passes")
    loss = [Line("training", "train", epochs("train_loss")), Line(judged, "held-out", epochs(f"{held_out}_loss"))]
    accuracy = [
        Line("training", "train", epochs("train_accuracy", 100.0)),
        Line(judged, "held-out", epochs(f"{held_out}_accuracy", 100.0)),
    ]
    steps = f"mean over {run.settings.log_every} steps" if run.settings.log_every > 1 else "each step"
    intervals = [
        Line("its last batch alone", "train", interval("minibatch_loss"), faint=True, dots=False),
        Line(steps, "train", interval("interval_loss")),
    ]
    rates = [Line("learning rate", "rate", interval("lr") + epochs("lr"), dots=False)]
    figures = [
        _figure("Loss of an epoch", loss),
        _figure("Loss of an interval", intervals, whole_x=False),
        _figure("Accuracy", accuracy, unit="%"),
        _figure("Learning rate", rates, from_zero=True, whole_x=False),
    ]
    note = Markup("")
    if views > 1:
        note = Markup(
            '<p class="quiet">The epochs were judged by one view of each {} image, the image as it is; the test '
            "accuracy at the end is that of the answers averaged over {} views.</p>"
        ).format(held_out, views)
    return Markup('{}<div class="charts">{}</div>{}').format(note, Markup("").join(figures), _table(run, views))


def _points(rows: Iterable[Mapping[str, Any]], x: str, y: str, scale: float = 1.0) -> list[tuple[float, float]]:
    pairs = ((real(row.get(x)), real(row.get(y))) for row in rows)
    return [(a, scale * b) for a, b in pairs if a is not None and b is not None]


def _figure(title: str, lines: list[Line], **options: Any) -> Markup:
    key = charts.legend(lines) if len(lines) > 1 else Markup("")
    return figure(title, key, charts.chart(lines, title=title, **options))


def _table(run: SavedRun, views: int) -> Markup:
    """Return the same numbers as text, folded away."""
    if not run.history:
        return Markup("")
    held_out = run.held_out
    columns = {
        "epoch": ("epoch", "{}"),
        "train_loss": ("training loss", "{:.4f}"),
        "train_accuracy": ("training accuracy", "{:.2%}"),
        f"{held_out}_loss": (of_one_view(f"{held_out} loss", views), "{:.4f}"),
        f"{held_out}_accuracy": (of_one_view(f"{held_out} accuracy", views), "{:.2%}"),
        "lr": ("learning rate", "{:.3g}"),
        "seconds": ("seconds", "{:.1f}"),
        "images_per_second": ("images/s", "{:,.0f}"),
    }
    chosen = _chosen(len(run.history))
    rows = [[number(run.history[i].get(key), form) for key, (_, form) in columns.items()] for i in chosen]
    summary = "The epochs in numbers"
    if len(chosen) < len(run.history):
        summary += f", {len(chosen):,} of {len(run.history):,}"
    titles = dict.fromkeys((text for text, _ in columns.values()), "number")
    return folded(summary, scrolling("Epochs", table(titles, rows), "tall"))


def _chosen(count: int) -> list[int]:
    """Return the rows to show: all of them, or some at even distances up to the last."""
    stride = -(-count // MOST_ROWS)
    return list(range((count - 1) % stride, count, stride))
