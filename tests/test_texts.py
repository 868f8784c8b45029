"""What is shown holds nothing that a terminal would obey, and nothing that hides."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.texts import printable

KEPT = "\u200c\u200d"
"""Joiners: Persian is misspelt without the one, and families of emoji fall apart without the other."""


def test_no_control_end_of_line_or_mark_of_direction_is_left():
    for number in range(sys.maxunicode + 1):
        sign = chr(number)
        control = unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")
        turns = unicodedata.bidirectional(sign) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        if control or turns:
            assert printable(sign).isascii(), hex(number)


@pytest.mark.parametrize("sign", ["\u200b", "\u200e", "\u200f", "\u061c", "\ufeff", "\xad", "\U000e0041", "\uffff"])
def test_what_is_invisible_is_shown(sign):
    assert printable(sign).startswith("\\")


@given(st.text())
def test_what_can_be_seen_stays(text):
    kept = "".join(sign for sign in text if sign.isprintable())
    assert printable(kept) == kept


@pytest.mark.parametrize("text", ["cat", "Ankle boot", "C:\\runs\\é", "猫", f"می{KEPT[0]}خواهم", f"👩{KEPT[1]}🔬", "❤️"])
def test_names_of_all_scripts_stay(text):
    assert printable(text) == text


def test_escapes_are_those_of_python():
    assert printable("a\x1b[31m\r\n\x9b\u202e\udcff\U000e0001") == "a\\x1b[31m\\r\\n\\x9b\\u202e\\udcff\\U000e0001"


@given(st.text(), st.integers(1, 20))
def test_a_long_text_is_cut(text, most):
    whole, shown = printable(text), printable(text, most)
    assert len(shown) <= most
    assert shown == whole or (shown[-1] == "…" and whole.startswith(shown[:-1]))
