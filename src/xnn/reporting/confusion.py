"""The part of a page about which classes a model takes for which."""

import math

import numpy as np
from markupsafe import Markup

from xnn.data.png import data_uri
from xnn.data.splits import HostArray
from xnn.reporting.evaluation import MOST_COUNTED, Evaluation
from xnn.reporting.filters import ADDS, SUBTRACTS
from xnn.reporting.markup import joined, scrolling
from xnn.reporting.values import short

MOST_CELLS = 20
"""Most classes for which the confusion matrix is a table with numbers."""
STRONGEST = 50
"""Percent of colour in the strongest cell: text stays readable on it in both colour schemes."""
FAINTEST = 8
_KEY = (
    "Rows are what an image is, columns what the model took it for, both in the order of the classes. Blue is right, "
    "orange wrong; the fuller the colour, the larger its share of the row."
)


def confusion(answers: Evaluation) -> Markup:
    """Return the confusion matrix, as a table or, with many classes, as a picture, and the commonest confusions."""
    count = len(answers.classes)
    if count > MOST_COUNTED:
        note = Markup("<p>The matrix of {:,} classes is too large to be drawn.</p>{}")
        return note.format(count, _frequent(answers))
    drawn = _confusion_table(answers) if count <= MOST_CELLS else _confusion_picture(answers)
    return Markup('<p>{}</p><div class="beside">{}{}</div>').format(_KEY, drawn, _frequent(answers))


def _confusion_table(answers: Evaluation) -> Markup:
    names = list(map(short, answers.classes))
    title = Markup('<th scope="col"><span>{}</span></th>')
    row = Markup('<tr><th scope="row">{}</th>{}<td class="sum">{:,}</td></tr>')
    rows = []
    for number, counts in enumerate(answers.confusion.tolist()):
        total = sum(counts)
        cells = (_cell(count, total, column == number) for column, count in enumerate(counts))
        rows.append(row.format(names[number], joined(cells), total))
    predicted = map(Markup("<td>{:,}</td>").format, answers.confusion.sum(axis=0).tolist())
    drawn = Markup(
        '<table class="confusion"><thead><tr><td></td>{}</tr></thead><tbody>{}</tbody>'
        '<tfoot><tr class="sum"><th scope="row">in all</th>{}<td>{:,}</td></tr></tfoot></table>'
    ).format(
        joined(map(title.format, [*names, "in all"])),
        joined(rows),
        joined(predicted),
        answers.images,
    )
    return scrolling("Confusion matrix", drawn)


def _cell(count: int, total: int, right: bool) -> Markup:
    if not count:
        return Markup('<td class="none">0</td>')
    # The square root keeps the few mistakes of a good model visible.
    strength = max(FAINTEST, round(STRONGEST * math.sqrt(count / total)))
    return Markup('<td class="{} fill-{}">{:,}</td>').format("right" if right else "wrong", strength, count)


def fills() -> str:
    """Return the style sheet's rules for the strengths of the cells, which may have no style attributes."""
    return "".join(f".fill-{percent} {{ --fill: {percent}%; }}\n" for percent in range(FAINTEST, STRONGEST + 1))


def confusion_pixels(counts: HostArray) -> HostArray:
    """Return a confusion matrix (c, c) as (c, c, 4) of uint8: blue on the diagonal, orange elsewhere, transparent."""
    share = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    pixels = np.empty((*counts.shape, 4), np.uint8)
    pixels[..., :3] = np.where(np.eye(len(counts), dtype=bool)[..., None], ADDS, SUBTRACTS)
    pixels[..., 3] = np.rint(255 * share)
    return pixels


def _confusion_picture(answers: Evaluation) -> Markup:
    count = len(answers.classes)
    alt = (
        f"Confusion matrix of {count} classes as a picture: {100 * answers.accuracy:.2f} % of the images lie on its "
        "diagonal; the commonest confusions are listed below"
    )
    picture = Markup('<figure class="matrix"><img src="{}" alt="{}" width="{}" height="{}"></figure>')
    return picture.format(data_uri(confusion_pixels(answers.confusion)), alt, count, count)


def _frequent(answers: Evaluation) -> Markup:
    pairs = answers.frequent_confusions(8)
    if not pairs:
        return Markup("")
    totals = answers.totals
    item = Markup('<li><b>{}</b> taken for <b>{}</b> <span class="quiet">{:,} of {:,}</span></li>')
    items = (
        item.format(short(answers.classes[label]), short(answers.classes[other]), count, int(totals[label]))
        for label, other, count in pairs
    )
    around = Markup('<div><p class="title">Most often confused</p><ol class="pairs">{}</ol></div>')
    return around.format(joined(items))
