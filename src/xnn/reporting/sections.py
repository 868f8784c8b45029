"""The parts of a page that rest on a model's answers: confusion, classes, mistakes, filters."""

import math
from html import escape

import numpy as np

from xnn.data import Split
from xnn.data.splits import HostArray
from xnn.reporting.evaluation import Evaluation
from xnn.reporting.filters import ADDS, SUBTRACTS, Filters
from xnn.reporting.pictures import data_uri

MOST_CELLS = 20
"""Classes up to which the confusion matrix is a table with numbers."""
MOST_MISTAKES = 24
_STRONGEST = 50
"""Percent of colour in the fullest cell: text stays readable on it, in both colour schemes."""
_FAINTEST = 8
_KEY = (
    "Rows are what an image is, columns what the model took it for, both in the order of the classes. Blue is right, "
    "orange wrong; the fuller the colour, the larger its share of the row."
)


def confusion(answers: Evaluation) -> str:
    """Return the confusion matrix, as a table or, of many classes, as a picture, and the commonest confusions."""
    drawn = _confusion_table(answers) if len(answers.classes) <= MOST_CELLS else _confusion_picture(answers)
    return f'<p>{_KEY}</p><div class="beside">{drawn}{_frequent(answers)}</div>'


def _confusion_table(answers: Evaluation) -> str:
    names = [escape(name) for name in answers.classes]
    head = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    rows = []
    for number, counts in enumerate(answers.confusion.tolist()):
        total = sum(counts)
        cells = "".join(_cell(count, total, column == number) for column, count in enumerate(counts))
        rows.append(f'<tr><th scope="row">{names[number]}</th>{cells}<td class="sum">{total:,}</td></tr>')
    predicted = "".join(f"<td>{count:,}</td>" for count in answers.confusion.sum(axis=0).tolist())
    foot = f'<tr class="sum"><th scope="row">in all</th>{predicted}<td>{answers.images:,}</td></tr>'
    return (
        '<div class="scroll" role="region" aria-label="Confusion matrix" tabindex="0"><table class="confusion">'
        f'<thead><tr><td></td>{head}<th scope="col"><span>in all</span></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody><tfoot>{foot}</tfoot></table></div>"
    )


def _cell(count: int, total: int, right: bool) -> str:
    if not count:
        return '<td class="none">0</td>'
    # The root keeps the few mistakes of a good model visible.
    strength = max(_FAINTEST, round(_STRONGEST * math.sqrt(count / total)))
    return f'<td class="{"right" if right else "wrong"}" style="--fill:{strength}%">{count:,}</td>'


def confusion_pixels(counts: HostArray) -> HostArray:
    """Return a confusion matrix (c, c) as (c, c, 4) of uint8: blue on the diagonal, orange elsewhere, on nothing."""
    share = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    pixels = np.empty((*counts.shape, 4), np.uint8)
    pixels[..., :3] = np.where(np.eye(len(counts), dtype=bool)[..., None], ADDS, SUBTRACTS)
    pixels[..., 3] = np.rint(255 * share)
    return pixels


def _confusion_picture(answers: Evaluation) -> str:
    count = len(answers.classes)
    alt = (
        f"Confusion matrix of {count} classes as a picture: {100 * answers.accuracy:.2f} % of the images lie on its "
        "diagonal; the commonest confusions are listed below"
    )
    return (
        f'<figure class="matrix"><img src="{data_uri(confusion_pixels(answers.confusion))}" alt="{alt}" '
        f'width="{count}" height="{count}"></figure>'
    )


def _frequent(answers: Evaluation) -> str:
    pairs = answers.frequent_confusions(8)
    if not pairs:
        return ""
    totals = answers.confusion.sum(axis=1)
    items = "".join(
        f"<li><b>{escape(answers.classes[label])}</b> taken for <b>{escape(answers.classes[other])}</b> "
        f'<span class="quiet">{count:,} of {int(totals[label]):,}</span></li>'
        for label, other, count in pairs
    )
    return f'<div><p class="title">Most often confused</p><ol class="pairs">{items}</ol></div>'


def classes(answers: Evaluation) -> str:
    """Return each class's accuracy as a bar; of many classes the hardest first."""
    right, totals = np.diag(answers.confusion), answers.confusion.sum(axis=1)
    shares = answers.class_accuracy
    order = list(range(len(shares)))
    many = len(shares) > MOST_CELLS
    if many:
        order.sort(key=lambda number: math.inf if shares[number] is None else shares[number] or 0.0)
    items = []
    for number in order:
        share, name = shares[number], escape(answers.classes[number])
        if share is None:
            items.append(f'<li><span class="name">{name}</span><span class="quiet">no images</span></li>')
            continue
        counts = f'<span class="quiet">{int(right[number]):,} of {int(totals[number]):,}</span>'
        items.append(
            f'<li><span class="name">{name}</span><span class="value">{100 * share:.1f} %</span>'
            f'<span class="bar" aria-hidden="true"><i style="width:{100 * share:.2f}%"></i></span>'
            f"{'' if many else counts}</li>"
        )
    note = "<p>The hardest classes come first.</p>" if many else ""
    return f'{note}<ul class="classes{" many" if many else ""}">{"".join(items)}</ul>'


def mistakes(answers: Evaluation, split: Split) -> str:
    """Return the mistakes that the model was surest of, as pictures."""
    chosen = answers.confident_mistakes(MOST_MISTAKES).tolist()
    if not chosen:
        return "<p>There is none: every image was recognised.</p>"
    cards = []
    for position in chosen:
        label = escape(answers.classes[answers.labels[position]])
        other = escape(answers.classes[answers.predicted[position]])
        sure = 100 * answers.confidence[position]
        cards.append(
            f'<li><img src="{data_uri(_visible(split.images[position]))}" alt="Image {position:,}: {label}, taken for '
            f'{other}"><p>is <b>{label}</b></p><p>taken for <b class="miss">{other}</b></p>'
            f'<p class="quiet">{_percent(sure)} sure<br>image {position:,}</p></li>'
        )
    wrong = answers.images - int(np.sum(answers.predicted == answers.labels))
    return (
        f"<p>{wrong:,} of {answers.images:,} images were mistaken; these are the {len(chosen)} of them that the model "
        f'was surest about, by the probability it gave to its answer.</p><ul class="mistakes">{"".join(cards)}</ul>'
    )


def _visible(image: HostArray) -> HostArray:
    """What a PNG can hold of an image: grey, RGB, or of other channels the first."""
    return image if image.shape[-1] in (1, 3) else image[..., :1]


def _percent(value: float) -> str:
    return f"{value:.1f} %" if value < 99.95 else "more than 99.9 %"


def filters(found: Filters) -> str:
    """Return the tiles of the first layer."""
    height, width, channels = found.shape
    size = f"{height}x{width}x{channels}"
    shown = "all" if len(found.tiles) == found.total else f"the {len(found.tiles)} with the largest norms"
    if found.colour:
        colours = "Grey is 0; a colour is what the filter adds for."
    elif channels == 1:
        colours = "Blue weights add, orange ones subtract; the fuller the colour, the larger the weight."
    else:
        colours = f"The mean over {channels} channels: blue adds, orange subtracts."
    images = "".join(f'<img src="{data_uri(tile)}" alt="">' for tile in found.tiles)
    label = f"{len(found.tiles)} filters of {size} as pictures"
    return (
        f"<p><code>{escape(found.name)}</code> has {found.total:,} filters of {size}; shown are {shown}, each on its "
        f'own scale. {colours}</p><div class="filters" role="img" aria-label="{label}">{images}</div>'
    )
