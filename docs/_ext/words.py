"""Mark long words of code in the text, which alone may be broken at the end of a line.

A browser breaks words after any hyphen, so that ``--batch-size`` would become ``--batch-`` and ``size``. The style
sheet keeps all words of code in one piece but those marked here, which a narrow screen has no room for.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

LONGEST = 30
"""Letters that fit in a line of a phone."""


class MarkLongWords(SphinxPostTransform):
    """Gives each literal with a long word the class ``long``."""

    default_priority = 800

    def run(self) -> None:
        """Go through the page."""
        for literal in self.document.findall(nodes.literal):
            if any(len(word) > LONGEST for word in literal.astext().split()):
                literal["classes"].append("long")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_post_transform(MarkLongWords)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
