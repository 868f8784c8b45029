"""The part of a page that compares several runs: their curves in one chart, and a table of what tells them apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from xnn.reporting import charts
from xnn.reporting.charts import Line
from xnn.reporting.markup import figure, joined, scrolling, table
from xnn.reporting.saved import SavedRun
from xnn.reporting.table import TEXT_COLUMNS, summary
from xnn.reporting.values import plain, real
from xnn.runs.complete import views_behind
from xnn.runs.finishing import PLACES
from xnn.runs.settings import FIELDS

COLOURS = 8
MOST_DRAWN = 3 * COLOURS
"""Most runs in a chart: the colours come again dashed, then dotted."""
MOST_SETTINGS = 6
"""Most columns of settings that differ."""
_FIRST = ("run", "test accuracy", "final training loss", "seconds")
"""The first columns, so that what came of a run is always in sight; they stay where all their values are the same."""
_ELSEWHERE = {*PLACES, "dataset", "model", "recipe", "epochs", "lr", "test_views"}
"""Settings that the columns of `summary` have, or that change nothing."""
_OF_THE_MACHINE = ("threads",)
"""Settings that are named where they differ, but are not worth a column."""


def overview(runs: Sequence[SavedRun]) -> Markup:
    """Return the charts and the table of several runs, in whose rows are links to ``#run-1``, ``#run-2``, ..."""
    return joined([_charts(runs), _table(runs)])


def _style(place: int) -> str:
    return f"run-{place % COLOURS + 1} dash-{place // COLOURS + 1}"


def _charts(runs: Sequence[SavedRun]) -> Markup:
    shown = runs[:MOST_DRAWN]
    kinds = {run.held_out for run in shown}
    held_out = kinds.pop() if len(kinds) == 1 else "held-out"

    def lines(column: str, scale: float = 1.0, *, over_time: bool = False) -> list[Line]:
        return [
            Line(_label(run), _style(place), _points(run, column.format(run.held_out), scale, over_time))
            for place, run in enumerate(shown)
        ]

    accuracy, by_time = lines("{}_accuracy", 100.0), lines("{}_accuracy", 100.0, over_time=True)
    drawn: list[tuple[str, list[Line], dict[str, Any]]] = [
        (f"{held_out} accuracy".capitalize(), accuracy, {"unit": "%"}),
        (
            f"{held_out} accuracy against time".capitalize(),
            by_time,
            {"unit": "%", "below": "seconds of training steps", "whole_x": False},
        ),
        (f"{held_out} loss".capitalize(), lines("{}_loss"), {}),
        ("Training loss", lines("train_loss"), {}),
    ]
    figures = joined(figure(title, charts.chart(each, title=title, **options)) for title, each, options in drawn)
    if not figures:
        return Markup("")
    item = Markup('<li>{}<a href="#run-{}">{}</a></li>')
    legend = joined(
        item.format(charts.key(line), place, line.label) for place, line in enumerate(lines("train_loss"), 1)
    )
    return Markup(
        '<section aria-labelledby="together">\n<h2 id="together">How they learned</h2>\n'
        '{}<ul class="legend">{}</ul><div class="charts">{}</div>\n</section>'
    ).format(_remarks(runs, held_out), legend, figures)


def _remarks(runs: Sequence[SavedRun], held_out: str) -> Markup:
    told = []
    if len(runs) > MOST_DRAWN:
        told.append(f"The first {MOST_DRAWN} of {len(runs):,} runs are drawn.")
    if held_out == "held-out":
        told.append("Some runs were judged on validation images, others on the test images.")
    if any(views_behind(run.result, run.settings) > 1 for run in runs):
        told.append(
            "Epochs are judged by one view of each image, the test accuracy in the table by as many as it says."
        )
    return Markup('<p class="quiet">{}</p>').format(" ".join(told)) if told else Markup("")


def _label(run: SavedRun) -> str:
    return summary(run)["run"]


def _points(run: SavedRun, column: str, scale: float, over_time: bool) -> list[tuple[float, float]]:
    points, seconds = [], 0.0
    for row in run.history:
        seconds += real(row.get("seconds")) or 0.0
        x, y = seconds if over_time else real(row.get("epoch")), real(row.get(column))
        if x is not None and y is not None:
            points.append((x, scale * y))
    return points


def _table(runs: Sequence[SavedRun]) -> Markup:
    rows = [summary(run) for run in runs]
    settings = _different(runs)
    columns = [name for name in settings if name not in _OF_THE_MACHINE][:MOST_SETTINGS]
    named = [name for name in settings if name not in columns]
    rows = [row | {name: settings[name][place] for name in columns} for place, row in enumerate(rows)]
    rest = [name for name in rows[0] if name not in _FIRST]
    same = [name for name in rest if len({row[name] for row in rows}) == 1]
    kept = [*_FIRST, *(name for name in rest if name not in same)]
    texts = {*TEXT_COLUMNS, *columns}
    cells = [[_first(place, row["run"]), *(row[name] for name in kept[1:])] for place, row in enumerate(rows)]
    told = [f"{name} {rows[0][name]}" for name in same]
    caption = f"In all of them: {', '.join(told)}." if told else ""
    if named:
        caption += f" They also differ in {', '.join(named)}."
    drawn = table({name: "text" if name in texts else "number" for name in kept}, cells, kind="overview")
    return Markup('<section class="wide" aria-labelledby="all">\n<h2 id="all">All runs</h2>\n{}{}\n</section>').format(
        Markup("<p>{}</p>").format(caption.strip()) if caption else "", scrolling("All runs", drawn)
    )


def _first(place: int, name: str) -> Markup:
    drawn = charts.key(Line("", _style(place), [])) if place < MOST_DRAWN else Markup("")
    return Markup('{}<a href="#run-{}">{}</a>').format(drawn, place + 1, name)


def _different(runs: Sequence[SavedRun]) -> Mapping[str, list[str]]:
    """Return the settings that are not the same in all runs, by the names of the columns."""
    columns = {}
    for name in FIELDS:
        if name not in _ELSEWHERE:
            values = [_text(name, getattr(run.settings, name)) for run in runs]
            if len(set(values)) > 1:
                columns[name.strip("_").replace("_", " ")] = values
    return columns


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "from_":  # not where it is
        value = Path(value).name
    return plain(list(value) if isinstance(value, tuple) else value)
