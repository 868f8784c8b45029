"""Let the keyboard reach what scrolls by itself.

Formulas, tables and code that are too wide for a phone scroll within the page. Not every browser lets the arrow keys
scroll what cannot have the focus, so each gets a stop of the Tab key, and a name for whoever listens to the page.
"""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

NAMES = {"math": "Formula", "table-wrapper": "Table", "pre": "Code"}
WIDE = re.compile(r'<(?:div(?= class="(math|table-wrapper)[ "])|(pre)\b)')
"""How an element that scrolls begins; what text says of such elements has its ``<`` written as ``&lt;``."""


def reachable(html: str) -> str:
    """Return HTML whose formulas, tables and blocks of code can have the focus."""

    def marked(found: re.Match[str]) -> str:
        return f'{found[0]} tabindex="0" role="group" aria-label="{NAMES[found[1] or found[2]]}"'

    return WIDE.sub(marked, html)


def mark(app: "Sphinx", page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Mark the parts of a page."""
    if "body" in context:
        context["body"] = reachable(context["body"])


def setup(app: "Sphinx") -> dict[str, bool]:
    """Register what is done to each page."""
    app.connect("html-page-context", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
