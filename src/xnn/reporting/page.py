"""One HTML file that shows runs: no script, no connection, nothing beside it.

Colours follow the reader's light or dark scheme, charts are SVG with real text, images are within the file. A content
security policy in it forbids the browser to load anything else.
"""

import json
import shlex
from collections.abc import Callable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from xnn._version import __version__
from xnn.files import write_atomically
from xnn.reporting import charts, sections
from xnn.reporting.charts import Line
from xnn.reporting.evaluation import Evaluation
from xnn.reporting.saved import SavedRun
from xnn.reporting.shown import Shown
from xnn.reporting.table import TEXT_COLUMNS, summary
from xnn.training.run import PLACES
from xnn.training.settings import Settings


def write_page(path: Path, shown: Sequence[Shown]) -> None:
    """Write the page of some runs, at least one.

    Raises
    ------
    RunError
        The file cannot be written.
    """
    write_atomically(path, page(shown).encode("utf-8", "replace"))


def page(shown: Sequence[Shown]) -> str:
    """Return the page of some runs, at least one."""
    runs = [part.run for part in shown]
    title = _name(runs[0]) if len(runs) == 1 else f"{len(runs)} runs"
    several = len(runs) > 1
    articles = [_article(part, f"run-{number}", several) for number, part in enumerate(shown, 1)]
    style = (resources.files("xnn.reporting") / "page.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"<title>{escape(title)} - xnn</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>",
            f"<h1>{escape(title)}</h1>" + _overview(runs) if several else "",
            *articles,
            f"</main>\n<footer>Made by xnn-report, xnn {escape(__version__)}.</footer>\n</body>\n</html>\n",
        ]
    )


def _name(run: SavedRun) -> str:
    row = summary(run)
    return f"{row['data set']}, {row['model']}"


def _overview(runs: Sequence[SavedRun]) -> str:
    rows = [summary(run) for run in runs]

    def aligned(name: str) -> str:
        return "" if name in TEXT_COLUMNS else ' class="number"'

    head = "".join(f'<th scope="col"{aligned(name)}>{escape(name)}</th>' for name in rows[0])
    body = ""
    for number, row in enumerate(rows, 1):
        first, *others = row.items()
        cells = "".join(f"<td{aligned(name)}>{escape(value)}</td>" for name, value in others)
        body += f'<tr><th scope="row"><a href="#run-{number}">{escape(first[1])}</a></th>{cells}</tr>'
    return (
        '<div class="scroll" role="region" aria-label="All runs" tabindex="0"><table class="runs">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _article(shown: Shown, anchor: str, several: bool) -> str:
    run, level = shown.run, 2 if several else 1

    def section(name: str, title: str, content: str) -> str:
        key, tag = f"{anchor}-{name}", f"h{level + 1}"
        return f'<section aria-labelledby="{key}">\n<{tag} id="{key}">{title}</{tag}>\n{content}\n</section>'

    parts = [
        f'<article id="{anchor}">\n<header><h{level}>{escape(_name(run))}</h{level}>',
        f'<p class="quiet">{escape(run.path.name)}</p></header>',
        _tiles(run, shown.answers),
        _notes(run, shown.answers),
        section("curves", "How it learned", _curves(run)),
    ]
    if shown.answers is not None and shown.split is not None:
        answers, split = shown.answers, shown.split
        parts += [
            section("confusion", "Confusion matrix", sections.confusion(answers)),
            section("classes", "Accuracy of each class", sections.classes(answers)),
            section("mistakes", "Most confident mistakes", sections.mistakes(answers, split)),
        ]
    if shown.filters is not None:
        parts.append(section("filters", "First layer", sections.filters(shown.filters)))
    parts.append(section("settings", "Settings and versions", _settings(run)))
    return "\n".join(part for part in parts if part) + "\n</article>"


def _tiles(run: SavedRun, answers: Evaluation | None) -> str:
    row = summary(run)
    values = {name: row[name] for name in ("test accuracy", "final training loss", "epochs", "parameters", "seconds")}
    if answers is not None and answers.top5_accuracy is not None and len(answers.classes) > 10:
        values["among the five likeliest"] = f"{100 * answers.top5_accuracy:.2f} %"
    items = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in values.items())
    return f'<dl class="tiles">{items}</dl>'


def _notes(run: SavedRun, answers: Evaluation | None) -> str:
    """What a reader must know to read the rest right."""
    if run.result is None:
        return (
            '<p class="note">This run is not complete: it was stopped, or is under way. What needs its model is '
            "missing here.</p>"
        )
    told = run.result.get("test_accuracy")
    if answers is None or told is None or abs(answers.accuracy - told) < 0.5 / answers.images:
        return ""
    return (
        f'<p class="note">On the images at hand the model recognises {100 * answers.accuracy:.2f} %, where the run '
        f"noted {100 * told:.2f} %: the data, the way of evaluation, or the machine differs. All below is of the "
        "images at hand.</p>"
    )


def _curves(run: SavedRun) -> str:
    rows, held_out = run.history, run.held_out
    if not rows and not run.intervals:
        return "<p>No epoch is done yet.</p>"

    def column(name: str, scale: float = 1.0) -> list[tuple[float, float]]:
        return [(row["epoch"], scale * row[name]) for row in rows if row.get(name) is not None]

    def interval(name: str) -> list[tuple[float, float]]:
        return [(row["passes"], row[name]) for row in run.intervals if row.get(name) is not None]

    rates = sorted({*interval("lr"), *column("lr")})
    loss = [Line("training", "train", column("train_loss")), Line(held_out, "held-out", column(f"{held_out}_loss"))]
    accuracy = [
        Line("training", "train", column("train_accuracy", 100.0)),
        Line(held_out, "held-out", column(f"{held_out}_accuracy", 100.0)),
    ]
    steps = f"mean over {run.settings.log_every} steps" if run.settings.log_every > 1 else "each step"
    intervals = [
        Line("its last batch alone", "train", interval("minibatch_loss"), faint=True, dots=False),
        Line(steps, "train", interval("interval_loss")),
    ]
    figures = [
        _figure("Loss of an epoch", loss),
        _figure("Loss of an interval", intervals, whole_x=False),
        _figure("Accuracy", accuracy, unit="%"),
        _figure("Learning rate", [Line("learning rate", "rate", rates, dots=False)], from_zero=True, whole_x=False),
    ]
    return f'<div class="charts">{"".join(figures)}</div>{_epochs(run)}'


def _figure(title: str, lines: list[Line], **options: Any) -> str:
    if not any(line.points for line in lines):
        return ""
    key = charts.legend(lines) if len(lines) > 1 else ""
    drawn = charts.chart(lines, title=title, **options)
    return f"<figure><figcaption>{title}</figcaption>{key}{drawn}</figure>"


def _epochs(run: SavedRun) -> str:
    """The same numbers as text, folded away."""
    if not run.history:
        return ""
    held_out = run.held_out
    columns: dict[str, tuple[str, Callable[[Any], str]]] = {
        "epoch": ("epoch", str),
        "train_loss": ("training loss", "{:.4f}".format),
        "train_accuracy": ("training accuracy", "{:.2%}".format),
        f"{held_out}_loss": (f"{held_out} loss", "{:.4f}".format),
        f"{held_out}_accuracy": (f"{held_out} accuracy", "{:.2%}".format),
        "lr": ("learning rate", "{:.3g}".format),
        "seconds": ("seconds", "{:.1f}".format),
        "images_per_second": ("images/s", "{:,.0f}".format),
    }
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name, _ in columns.values())
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="number">{"-" if row.get(key) is None else form(row[key])}</td>'
            for key, (_, form) in columns.items()
        )
        + "</tr>"
        for row in run.history
    )
    return (
        '<details><summary>The epochs in numbers</summary><div class="scroll" role="region" '
        f'aria-label="Epochs" tabindex="0"><table class="runs"><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        "</table></div></details>"
    )


def _settings(run: SavedRun) -> str:
    # Where things lie on somebody's disk is nobody else's concern; pages are passed on.
    private = ("data_dir", "run_dir", "quiet")
    settings = {name: v for name, v in run.settings.to_dict().items() if v is not None and name not in private}
    settings["dataset"] = summary(run)["data set"]
    given = (
        run.settings.to_dict() | {"dataset": settings["dataset"]} | {name: getattr(Settings(), name) for name in PLACES}
    )
    # A name may break across lines, but no flag at its hyphens.
    words = ["xnn-train", *map(shlex.quote, Settings.from_dict(given).to_argv())]
    command = " ".join(f"<span>{escape(word)}</span>" for word in words)
    result = run.result or {}
    versions = result.get("versions", {})
    where = {"backend": result["backend"]} if "backend" in result else {}
    more = f'<p class="title">Versions</p>{_pairs({**versions, **where})}' if versions else ""
    return (
        f"<p>The run again, with the data where it is looked for by default:</p><pre><code>{command}</code></pre>"
        f"{_pairs(settings)}{more}"
    )


def _pairs(values: dict[str, Any]) -> str:
    items = "".join(
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_plain(value))}</dd></div>"
        for name, value in values.items()
    )
    return f'<dl class="pairs">{items}</dl>'


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
