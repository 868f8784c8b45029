"""The parts of a page that are pictures: mistakes, training images, filters."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from xnn.data import Split
from xnn.data.png import data_uri
from xnn.data.splits import HostArray
from xnn.reporting.evaluation import Evaluation
from xnn.reporting.filters import Filters
from xnn.reporting.markup import joined, scrolling
from xnn.reporting.pictures import MOST_PIXELS_OF_MANY, small, visible
from xnn.reporting.samples import Samples
from xnn.reporting.values import short

MOST_MISTAKES = 24


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
            picture=data_uri(small(visible(split.images[position]))),
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
    ).format(wrong, answers.images, len(chosen), joined(cards))


def _percent(value: float) -> str:
    return f"{value:.1f} %" if value < 99.95 else "more than 99.9 %"


def samples(found: Samples) -> Markup:
    """Return a table with a column for each training image: as it is, and below how it looks in some epochs."""
    rows = [_versions("as it is", found.names, found.images, found.images.shape)]
    rows += [
        _versions(f"epoch {epoch:,}", found.names, images, found.images.shape)
        for epoch, images in found.versions.items()
    ]
    title = Markup('<th scope="col">{}</th>')
    told = "Some training images, which the run does not change."
    if found.versions:
        told = (
            "Some training images as they are and, below, as they are changed in training: anew in each epoch, by the "
            "run's own augmentation and seed."
        )
    if found.mixed:
        told += " Each is mixed with another of them; above stands the class of the image itself."
    drawn = Markup('<table class="samples"><thead><tr><td></td>{}</tr></thead><tbody>{}</tbody></table>').format(
        joined(title.format(short(name)) for name in found.names), joined(rows)
    )
    return Markup("<p>{}</p>{}").format(told, scrolling("Training images", drawn))


def _versions(title: str, names: Sequence[str], images: HostArray, shape: Sequence[int]) -> Markup:
    """Return a row of images, with their size if it is not that of the first row's."""
    size = Markup("")
    if images.shape != shape:
        size = Markup(' <span class="quiet">{}x{}</span>').format(*images.shape[1:3])
    cell = Markup('<td><img src="{}" alt="{}, {}"></td>')
    cells = (
        cell.format(data_uri(small(visible(image), MOST_PIXELS_OF_MANY)), short(name), title)
        for name, image in zip(names, images, strict=True)
    )
    return Markup('<tr><th scope="row">{}{}</th>{}</tr>').format(title, size, joined(cells))


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
    images = (Markup('<img src="{}" alt="">').format(data_uri(small(tile))) for tile in found.tiles)
    return Markup(
        "<p><code>{}</code> has {:,} filters of {}; shown are {}, each on its own scale. {}</p>"
        '<div class="filters" role="img" aria-label="{} filters of {} as pictures">{}</div>'
    ).format(short(found.name), found.total, size, shown, colours, len(found.tiles), size, joined(images))
