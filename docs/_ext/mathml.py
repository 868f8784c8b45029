"""Render formulas as MathML when the pages are built.

Browsers draw MathML themselves, so the pages need no script and no connection, where Sphinx's own choices load one from
a content network or need a TeX installation.
"""

from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

MATHML = "http://www.w3.org/1998/Math/MathML"
ElementTree.register_namespace("", MATHML)
BELOW = {
    f"{{{MATHML}}}{beside}": f"{{{MATHML}}}{below}" for beside, below in (("msub", "munder"), ("msubsup", "munderover"))
}
"""The elements that have limits beside a sign, and those that have them below and above it."""


def visit_math(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(convert(node.astext(), display="inline"))
    raise nodes.SkipNode


def visit_math_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula; a blank line or an environment's line break separates rows."""
    translator.body.append(f'<div class="math">{displayed(node.astext())}</div>')
    raise nodes.SkipNode


def displayed(latex: str) -> str:
    r"""Return a displayed formula with the limits of all its sums and products below and above them, as in TeX.

    The converter sets them beside the sign within ``\left( ... \right)``. In fractions and scripts they belong there.
    """
    formula = ElementTree.fromstring(convert(latex, display="block"))

    def visit(element: ElementTree.Element) -> None:
        for child in element:
            if child.tag in BELOW and child[0].text in ("∑", "∏"):
                child.tag = BELOW[child.tag]
            if child.tag in (f"{{{MATHML}}}mrow", f"{{{MATHML}}}mtable", f"{{{MATHML}}}mtr", f"{{{MATHML}}}mtd"):
                visit(child)

    visit(formula)
    return ElementTree.tostring(formula, encoding="unicode")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
