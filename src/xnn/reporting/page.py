"""One HTML file that shows runs, without scripts, connections or other files.

Colours follow the reader's light or dark scheme, charts are SVG with real text, and images are within the file.

The runs may come from a stranger. So all HTML is made from `markupsafe.Markup`: text is escaped when ``format`` or
``join`` inserts it, unless it is `Markup` itself, and `Markup` is made from literals alone (ruff's S704 ensures this).
As a second defence there is a content security policy: the browser loads nothing, runs no script, and accepts no style
but the page's own sheet, which it knows by its digest. The policy cannot keep a reader from following a link, since
browsers have no such rule, nor sandbox the page, which a policy within a page may not do; but the page only links to
itself.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from xnn._version import __version__
from xnn.files import write_atomically
from xnn.reporting import images
from xnn.reporting.classes import calibration, classes
from xnn.reporting.confusion import confusion, fills
from xnn.reporting.contents import Contents
from xnn.reporting.evaluation import Evaluation
from xnn.reporting.learning import learning
from xnn.reporting.markup import terms
from xnn.reporting.origin import layers, moment, origin
from xnn.reporting.overview import overview
from xnn.reporting.saved import SavedRun
from xnn.reporting.table import summary
from xnn.reporting.values import real, short
from xnn.runs.complete import views_behind
from xnn.texts import printable


def write_page(path: Path, shown: Sequence[Contents]) -> None:
    """Write the page of some runs, at least one.

    Raises
    ------
    RunError
        The file cannot be written.
    """
    write_atomically(path, page(shown).encode())


def page(shown: Sequence[Contents]) -> str:
    """Return the page of some runs, at least one."""
    runs = [part.run for part in shown]
    title = _name(runs[0]) if len(runs) == 1 else f"{len(runs)} runs"
    several = len(runs) > 1
    style = (resources.files("xnn.reporting") / "page.css").read_text(encoding="utf-8") + fills()
    lines = [
        Markup('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        Markup('<meta name="referrer" content="no-referrer">'),
        Markup('<meta http-equiv="Content-Security-Policy" content="{}">').format(_policy(style)),
        Markup("<title>{} - xnn</title>\n<style>{}</style>\n</head>\n<body>\n<main>").format(
            title,
            Markup(style),  # noqa: S704 - our own style sheet
        ),
        Markup("<h1>{}</h1>{}").format(title, overview(runs)) if several else "",
        *(_article(part, f"run-{number}", several) for number, part in enumerate(shown, 1)),
        Markup("</main>\n<footer>Made by xnn-report, xnn {}.</footer>\n</body>\n</html>\n").format(__version__),
    ]
    # Characters that are invisible or change the direction of text are shown as escapes, wherever they are.
    return "\n".join(map(printable, Markup("\n").join(lines).split("\n")))


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # Forms and base addresses do not fall back on default-src.
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; form-action 'none'; base-uri 'none'"


def _name(run: SavedRun) -> str:
    row = summary(run)
    return f"{row['data set']}, {row['model']}"


def _article(shown: Contents, anchor: str, several: bool) -> Markup:
    run, level = shown.run, 2 if several else 1

    def section(key: str, title: str, content: Markup) -> Markup:
        whole = Markup('<section aria-labelledby="{key}">\n<h{n} id="{key}">{title}</h{n}>\n{content}\n</section>')
        return whole.format(key=f"{anchor}-{key}", n=level + 1, title=title, content=content)

    ended = moment(run.result or {})
    parts = [
        Markup('<article id="{anchor}">\n<header><h{n}>{title}</h{n}>').format(
            anchor=anchor, n=level, title=_name(run)
        ),
        Markup('<p class="quiet">{}{}</p></header>').format(
            short(run.path.name), "" if ended is None else f", finished {ended}"
        ),
        _tiles(run, shown.answers),
        _notes(shown),
        section("curves", "How it learned", learning(run)),
    ]
    if shown.answers is not None and shown.split is not None:
        answers, split = shown.answers, shown.split
        parts += [
            section("confusion", "Confusion matrix", confusion(answers)),
            section("classes", "Precision, recall and F1", classes(answers)),
            section("calibration", "Calibration", calibration(answers)),
            section("mistakes", "Most confident mistakes", images.mistakes(answers, split)),
        ]
    if shown.samples is not None:
        parts.append(section("samples", "Training images", images.samples(shown.samples)))
    if shown.filters is not None:
        parts.append(section("filters", "First layer", images.filters(shown.filters)))
    if shown.layers is not None:
        parts.append(section("layers", "Layers", layers(shown.layers)))
    parts.append(section("settings", "Where it comes from", origin(run, shown.task)))
    return Markup("{}\n</article>").format(Markup("\n").join(part for part in parts if part))


def _tiles(run: SavedRun, answers: Evaluation | None) -> Markup:
    row, views = summary(run), views_behind(run.result, run.settings)
    values: dict[str, Markup | str] = {"test accuracy": row["test accuracy"]}
    if views > 1:
        values["test accuracy"] = Markup('{} <span class="quiet">mean over {:,} views</span>').format(
            row["test accuracy"], views
        )
    if answers is not None and answers.top5_accuracy is not None:
        values["top-5 accuracy"] = f"{100 * answers.top5_accuracy:.2f} %"
    if answers is not None:
        values["macro F1"] = f"{100 * answers.scores.macro('f1'):.2f} %"
    values |= {name: row[name] for name in ("final training loss", "epochs", "parameters", "seconds")}
    return Markup('<dl class="tiles">{}</dl>').format(terms(values))


def _notes(shown: Contents) -> Markup:
    """Return what a reader must know to understand the rest correctly."""
    note, run, answers = Markup('<p class="note">{}</p>'), shown.run, shown.answers
    notes = []
    if run.result is None:
        notes.append("This run is not complete: it was stopped, or is under way. What needs its model is missing here.")
    if shown.missing is not None:
        # The reason names folders on somebody's disk, which are nobody else's concern.
        notes.append(
            "The data set was not found when this page was made, so what needs its images is missing here: "
            "xnn-report with --data-dir or --download adds it."
        )
    if run.result is None or notes:
        return Markup("").join(map(note.format, notes))
    told = real(run.result.get("test_accuracy"))
    if answers is None or told is None or abs(answers.accuracy - told) < 0.5 / answers.images:
        return Markup("")
    return note.format(
        f"On the images at hand the model recognises {100 * answers.accuracy:.2f} %, where the run noted "
        f"{100 * told:.2f} %: the data, the way of evaluation, or the machine differs. All below is of the images at "
        "hand."
    )
