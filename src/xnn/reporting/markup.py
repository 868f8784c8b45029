"""Pieces of HTML that several parts of a page are made of; see `xnn.reporting.page` for the rules."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from xnn.reporting.values import plain, short


def joined(parts: Iterable[Markup | str]) -> Markup:
    """Return pieces one after the other."""
    return Markup("").join(parts)


def scrolling(label: str, content: Markup, kind: str = "") -> Markup:
    """Return a box that scrolls by itself, with the keyboard too, what is wider, or of the kind ``tall`` higher."""
    box = Markup('<div class="{}" role="region" aria-label="{}" tabindex="0">{}</div>')
    return box.format(f"scroll {kind}".strip(), label, content)


def table(
    columns: Mapping[str, str],
    rows: Iterable[Sequence[Markup | str]],
    *,
    kind: str = "",
    foot: Sequence[Markup | str] = (),
) -> Markup:
    """Return a table whose first column names the rows.

    Parameters
    ----------
    columns
        Their titles, each with the class of its cells: ``text``, ``number`` or ``plot``.
    rows
        The cells of each row.
    kind
        More classes of the table: ``overview`` has each row's cells below one another on a narrow screen.
    foot
        The cells of a last row, if there is one.
    """
    classes = list(columns.values())
    title, first = Markup('<th scope="col" class="{}">{}</th>'), Markup('<th scope="row" class="{}">{}</th>')
    cell, line = Markup('<td class="{}" data-name="{}">{}</td>'), Markup("<tr>{}</tr>")
    names = list(columns)

    def row(cells: Sequence[Markup | str]) -> Markup:
        rest = itertools.starmap(cell.format, zip(classes[1:], names[1:], cells[1:], strict=True))
        return line.format(joined([first.format(classes[0], cells[0]), *rest]))

    return Markup('<table class="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody>{}</table>').format(
        f"rows {kind}".strip(),
        joined(title.format(name, text) for text, name in columns.items()),
        joined(map(row, rows)),
        Markup("<tfoot>{}</tfoot>").format(row(foot)) if foot else "",
    )


def terms(values: Mapping[str, Markup | str]) -> Markup:
    """Return names with their values."""
    term = Markup("<div><dt>{}</dt><dd>{}</dd></div>")
    return joined(term.format(name, value) for name, value in values.items())


def pairs(values: Mapping[str, Any]) -> Markup:
    """Return a list of names with values of any kind."""
    shown = {short(name.replace("_", " ")): plain(value) for name, value in values.items()}
    return Markup('<dl class="pairs">{}</dl>').format(terms(shown))


def figure(title: str, *content: Markup) -> Markup:
    """Return something drawn under its title; empty if nothing was drawn."""
    if not content[-1]:
        return Markup("")
    return Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(title, joined(content))


def folded(summary: str, content: Markup) -> Markup:
    """Return what is only shown when asked for."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, content)
