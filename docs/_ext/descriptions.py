"""Give each page a description for search engines: its first paragraph, or else the front page's."""

import re
import textwrap
from html import escape
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LONGEST = 200
"""Letters of a description; search engines show no more."""


def description(document: nodes.document) -> str:
    """Return how a page's text begins, without what stands in boxes, lists and tables."""
    for paragraph in document.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section | nodes.document) and paragraph.astext().strip():
            return shortened(" ".join(paragraph.astext().split()))
    return ""


def shortened(text: str) -> str:
    """Return the first sentences of a text, as many as fit; one that is too long alone is cut after a word."""
    first, *others = re.split(r"(?<=[.!?:]) (?=[A-Z])", text)
    kept = re.sub(":$", ".", first)
    for sentence in others:
        if sentence.endswith(":") or len(kept) + 1 + len(sentence) > LONGEST:
            break
        kept += f" {sentence}"
    return textwrap.shorten(kept, LONGEST, placeholder=" …")


def describe(app: "Sphinx", page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Write a page's description into its head."""
    if 'name="description"' in context.get("metatags", ""):
        return
    text = description(doctree) if doctree is not None else ""
    text = text or description(app.env.get_doctree(app.config.root_doc))
    context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{escape(text)}">\n'


def setup(app: "Sphinx") -> dict[str, bool]:
    """Register what is done to each page."""
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
