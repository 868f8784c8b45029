"""Pieces of HTML: whatever enters them stays text."""

from hypothesis import given
from hypothesis import strategies as st

from tests.markup import NASTY, Page
from xnn import _markup
from xnn.texts import printable


@given(st.lists(st.tuples(NASTY, NASTY), max_size=3), st.sets(st.integers(0, 1)))
def test_a_tables_cells_are_the_texts(rows, right):
    page = Page(str(_markup.table(("a", "b"), rows, right=right)))
    assert [tag for tag, _ in page.elements].count("td") == 2 * len(rows)
    shown = [printable(cell, _markup.MOST) for row in rows for cell in row]
    assert "".join(page.texts) == "ab" + "".join(shown)
    sides = [attributes["style"] for tag, attributes in page.elements if tag == "th"]
    assert [side.endswith("right") for side in sides] == [0 in right, 1 in right]


@given(NASTY, NASTY, st.booleans())
def test_pictures_and_their_captions_are_escaped(description, caption, sharp):
    picture = _markup.image("data:,", description, width=3, sharp=sharp)
    page = Page(str(_markup.grid([(picture, caption)], 7) + _markup.paragraph(caption)))
    (found,) = page.images()
    assert found["alt"] == printable(description, _markup.MOST)
    assert ("pixelated" in found["style"]) == sharp
    assert "".join(page.texts) == printable(caption, 60) + printable(caption, 500)
