"""The parts of a page about a model's answers and weights: confusion, classes, mistakes, training images, filters."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from xnn.data import Split
from xnn.data.splits import HostArray
from xnn.reporting.augmented import Augmented
from xnn.reporting.evaluation import MOST_COUNTED, Evaluation
from xnn.reporting.filters import ADDS, SUBTRACTS, Filters
from xnn.reporting.pictures import data_uri
from xnn.reporting.values import short

MOST_CELLS = 20
"""Most classes for which the confusion matrix is a table with numbers."""
MOST_LISTED = 1000
"""Most classes to list with their accuracies."""
MOST_MISTAKES = 24
MOST_PIXELS = 256
"""Largest height or width of a picture in the page; larger ones lose rows and columns."""
MOST_PIXELS_OF_MANY = 128
"""The same where there are dozens."""
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
        rows.append(row.format(names[number], Markup("").join(cells), total))
    predicted = map(Markup("<td>{:,}</td>").format, answers.confusion.sum(axis=0).tolist())
    return Markup(
        '<div class="scroll" role="region" aria-label="Confusion matrix" tabindex="0"><table class="confusion">'
        "<thead><tr><td></td>{}</tr></thead><tbody>{}</tbody>"
        '<tfoot><tr class="sum"><th scope="row">in all</th>{}<td>{:,}</td></tr></tfoot></table></div>'
    ).format(
        Markup("").join(map(title.format, [*names, "in all"])),
        Markup("").join(rows),
        Markup("").join(predicted),
        answers.images,
    )


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
    return around.format(Markup("").join(items))


def classes(answers: Evaluation) -> Markup:
    """Return each class's accuracy as a bar: with many classes the hardest first, with very many only the hardest."""
    right, totals, shares = answers.hits, answers.totals, answers.class_accuracy
    order = list(range(len(shares)))
    many = len(shares) > MOST_CELLS
    if many:
        order.sort(key=lambda number: math.inf if shares[number] is None else shares[number] or 0.0)
    without = Markup('<li><span class="name">{}</span><span class="quiet">no images</span></li>')
    # The page's own policy forbids a width in a style attribute.
    item = Markup(
        '<li><span class="name">{}</span><span class="value">{:.1f} %</span>'
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        '<path d="M0 0H{:.2f}V1H0Z"/></svg>{}</li>'
    )
    quiet = Markup('<span class="quiet">{:,} of {:,}</span>')
    items = []
    for number in order[:MOST_LISTED]:
        share, text = shares[number], short(answers.classes[number])
        if share is None:
            items.append(without.format(text))
            continue
        counts = "" if many else quiet.format(int(right[number]), int(totals[number]))
        items.append(item.format(text, 100 * share, 100 * share, counts))
    note = Markup("<p>The hardest classes come first.</p>") if many else ""
    if len(order) > MOST_LISTED:
        note = Markup("<p>These are the {:,} hardest of {:,} classes.</p>").format(MOST_LISTED, len(order))
    around = Markup('{}<ul class="classes{}">{}</ul>')
    return around.format(note, " many" if many else "", Markup("").join(items))


def mistakes(answers: Evaluation, split: Split) -> Markup:
    """Return the mistakes of which the model was most certain, as pictures."""
    chosen = answers.confident_mistakes(MOST_MISTAKES).tolist()
    if not chosen:
        return Markup("<p>There are none: every image was recognised.</p>")
    card = Markup(
        '<li><img src="{picture}" alt="Image {position:,}: {label}, taken for {other}">'
        '<p>is <b>{label}</b></p><p>taken for <b class="miss">{other}</b></p>'
        '<p class="quiet">{sure} sure<br>image {position:,}</p></li>'
    )
    cards = (
        card.format(
            picture=data_uri(_small(_visible(split.images[position]))),
            position=position,
            label=short(answers.classes[answers.labels[position]]),
            other=short(answers.classes[answers.predicted[position]]),
            sure=_percent(100 * answers.confidence[position]),
        )
        for position in chosen
    )
    wrong = answers.images - int(np.sum(answers.predicted == answers.labels))
    return Markup(
        "<p>{:,} of {:,} images were mistaken; these are the {} that the model "
        'was surest about, by the probability it gave to its answer.</p><ul class="mistakes">{}</ul>'
    ).format(wrong, answers.images, len(chosen), Markup("").join(cards))


def _visible(image: HostArray) -> HostArray:
    """Return what a PNG can hold of an image: grey, RGB, or else its first channel."""
    return image if image.shape[-1] in (1, 3) else image[..., :1]


def _small(image: HostArray, most: int = MOST_PIXELS) -> HostArray:
    """Return an image with no more pixels along a side than a page has room for."""
    stride = -(-max(image.shape[:2]) // most)
    return image[::stride, ::stride]


def _percent(value: float) -> str:
    return f"{value:.1f} %" if value < 99.95 else "more than 99.9 %"


def augmented(found: Augmented) -> Markup:
    """Return a table with a column for each training image: as it is, and below how it looks in some epochs."""
    rows = [_versions("as it is", found.names, found.images, found.images.shape)]
    rows += [
        _versions(f"epoch {epoch:,}", found.names, images, found.images.shape)
        for epoch, images in found.versions.items()
    ]
    title = Markup('<th scope="col">{}</th>')
    mixed = " Each is mixed with another of them; above stands the class of the image itself." if found.mixed else ""
    return Markup(
        "<p>Some training images as they are and, below, as they are changed in training: anew in each epoch, by the "
        "run's own augmentation and seed.{}</p>"
        '<div class="scroll" role="region" aria-label="Training images" tabindex="0"><table class="augmented">'
        "<thead><tr><td></td>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(mixed, Markup("").join(title.format(short(name)) for name in found.names), Markup("").join(rows))


def _versions(title: str, names: Sequence[str], images: HostArray, shape: Sequence[int]) -> Markup:
    """Return a row of images, with their size if it is not that of the first row's."""
    size = Markup("")
    if images.shape != shape:
        size = Markup(' <span class="quiet">{}x{}</span>').format(*images.shape[1:3])
    cell = Markup('<td><img src="{}" alt="{}, {}"></td>')
    cells = (
        cell.format(data_uri(_small(_visible(image), MOST_PIXELS_OF_MANY)), short(name), title)
        for name, image in zip(names, images, strict=True)
    )
    return Markup('<tr><th scope="row">{}{}</th>{}</tr>').format(title, size, Markup("").join(cells))


def filters(found: Filters) -> Markup:
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
    images = (Markup('<img src="{}" alt="">').format(data_uri(_small(tile))) for tile in found.tiles)
    return Markup(
        "<p><code>{}</code> has {:,} filters of {}; shown are {}, each on its own scale. {}</p>"
        '<div class="filters" role="img" aria-label="{} filters of {} as pictures">{}</div>'
    ).format(short(found.name), found.total, size, shown, colours, len(found.tiles), size, Markup("").join(images))
