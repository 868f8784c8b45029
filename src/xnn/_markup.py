"""Small pieces of HTML, for what notebooks show of xnn's objects; whatever enters them is escaped.

Names of classes and layers may come from strangers, and a notebook runs what it shows.
"""

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

from xnn.texts import printable

if TYPE_CHECKING:
    from markupsafe import Markup

MOST = 120
"""Characters of a text that are shown."""


def text(value: object, most: int = MOST) -> "Markup":
    """Return a value as escaped text on one line."""
    from markupsafe import escape

    return escape(printable(str(value), most))


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, right: Container[int] = ()) -> "Markup":
    """Return a table; the columns whose numbers are in `right` are aligned to the right."""
    from markupsafe import Markup

    def cells(row: Sequence[object], kind: str) -> Markup:
        form = Markup('<{0} style="text-align: {1}">{2}</{0}>')
        sides = ("right" if column in right else "left" for column in range(len(row)))
        return Markup("").join(form.format(kind, side, text(value)) for side, value in zip(sides, row, strict=True))

    body = Markup("").join(Markup("<tr>{}</tr>").format(cells(row, "td")) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(cells(header, "th"), body)


def paragraph(value: object, most: int = 500) -> "Markup":
    """Return escaped text as a paragraph."""
    from markupsafe import Markup

    return Markup("<p>{}</p>").format(text(value, most))


def image(address: str, description: str, *, width: int | None = None, sharp: bool = False) -> "Markup":
    """Return a picture; `sharp` shows enlarged pixels as squares."""
    from markupsafe import Markup

    style = ["max-width: 100%"]
    if width is not None:
        style.append(f"width: {width}px")
    if sharp:
        style.append("image-rendering: pixelated")
    return Markup('<img src="{}" alt="{}" style="{}">').format(address, text(description), "; ".join(style))


def grid(pictures: Iterable[tuple["Markup", str]], side: int) -> "Markup":
    """Return pictures beside one another, each with a caption, in cells of a width in pixels."""
    from markupsafe import Markup

    form = Markup(
        '<figure style="width: {}px; margin: 0; text-align: center; font-size: smaller; overflow-wrap: anywhere">'
        "{}<figcaption>{}</figcaption></figure>"
    )
    cells = Markup("").join(form.format(side, picture, text(caption, 60)) for picture, caption in pictures)
    return Markup('<div style="display: flex; flex-wrap: wrap; gap: 8px; align-items: flex-end">{}</div>').format(cells)
