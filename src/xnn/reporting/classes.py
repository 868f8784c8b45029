"""The parts of a page about single classes, and about how far a model's probabilities can be trusted."""

import math

import numpy as np
from markupsafe import Markup

from xnn.reporting import charts
from xnn.reporting.charts import Line
from xnn.reporting.confusion import MOST_CELLS
from xnn.reporting.evaluation import Evaluation
from xnn.reporting.markup import figure, folded, scrolling, table
from xnn.reporting.values import number, short

MOST_LISTED = 1000
"""Most classes to list."""
_SCORES = ("precision", "recall", "f1")


def classes(answers: Evaluation) -> Markup:
    """Return the table of precision, recall and F1: with many classes the hardest first, with very many only these."""
    scores, totals = answers.scores, answers.totals.tolist()
    order = list(range(len(totals)))
    many = len(order) > MOST_CELLS
    if many:
        order.sort(key=lambda place: math.inf if math.isnan(scores.f1[place]) else float(scores.f1[place]))
    # The page's own policy forbids a width in a style attribute.
    bar = Markup(
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        '<path d="M0 0H{:.2f}V1H0Z"/></svg>'
    )
    rows = [
        [
            short(answers.classes[place]),
            *(_percent(getattr(scores, name)[place]) for name in _SCORES),
            f"{totals[place]:,}",
            Markup("") if math.isnan(scores.f1[place]) else bar.format(100 * scores.f1[place]),
        ]
        for place in order[:MOST_LISTED]
    ]
    columns = {
        "class": "text",
        **dict.fromkeys(("precision, %", "recall, %", "F1, %", "images"), "number"),
        "F1 as a bar": "plot",
    }
    means = [
        "mean over classes",
        *(_percent(scores.macro(name)) for name in _SCORES),
        f"{answers.images:,}",
        Markup(""),
    ]
    note = " The classes with the lowest F1 come first." if many else ""
    if len(order) > MOST_LISTED:
        note = f" These are the {MOST_LISTED:,} hardest of {len(order):,} classes, by F1."
    return Markup(
        "<p>Precision is the share of the images given a class that are of it, recall the share of a class's images "
        "that are recognised, F1 their harmonic mean.{}</p>{}"
    ).format(note, scrolling("Scores of the classes", table(columns, rows, foot=means), "tall" if many else ""))


def calibration(answers: Evaluation) -> Markup:
    """Return the calibration curve, its error, and its points in numbers."""
    found = answers.calibration
    filled = np.flatnonzero(found.images)
    points = [(100 * float(found.confidence[i]), 100 * float(found.accuracy[i])) for i in filled]
    lines = [
        Line("as often right as sure", "ideal", [(0.0, 0.0), (100.0, 100.0)], dots=False),
        Line("the model", "train", points),
    ]
    drawn = charts.chart(lines, title="Calibration", unit="%", below="mean confidence, %")
    edges = np.linspace(0.0, 100.0, len(found.images) + 1)
    rows = [
        [
            f"{edges[i]:.1f} to {edges[i + 1]:.1f}",
            f"{found.images[i]:,}",
            _percent(found.confidence[i]),
            _percent(found.accuracy[i]),
        ]
        for i in filled
    ]
    columns = {"confidence, %": "text", **dict.fromkeys(("images", "mean confidence, %", "accuracy, %"), "number")}
    mean = float(answers.confidence.mean())
    kind = "overconfident" if mean > answers.accuracy else "underconfident"
    return Markup(
        '<div class="beside wide"><div>{}</div><div><p class="title">Expected calibration error: {}</p><p>The '
        "images are put into {} bins by the confidence, the probability that the model gave to its answer. The error "
        "is the distance between a bin's mean confidence and its accuracy, averaged over the images. On the whole the "
        "model is {}: its mean confidence is {}, its accuracy {}.</p>{}</div></div>"
    ).format(
        figure("Accuracy of answers by their confidence", charts.legend(lines), drawn),
        f"{100 * found.error:.2f} %",
        len(found.images),
        kind,
        f"{100 * mean:.2f} %",
        f"{100 * answers.accuracy:.2f} %",
        folded("The bins in numbers", scrolling("Bins", table(columns, rows))),
    )


def _percent(share: float) -> str:
    """Return a share as a number of percent, a dash for NaN."""
    return number(None if math.isnan(share) else 100 * float(share), "{:.2f}")
