"""Any value of a JSON file is text of bounded length, and a number only if it is one."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.reporting.values import MOST_SIGNS, number, plain, real

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
huge = st.integers(0, 3).map(lambda which: (10**400, -(10**5000), "a" * 10**6, ["a" * 10**4] * 10**4)[which])


@given(documents | huge, st.sampled_from(["{}", "{:.4f}", "{:.2%}", "{:,}", "{:,.0f}", "{:.3g}"]))
def test_any_value_is_shown_in_bounded_length(value, form):
    for text in (number(value, form), plain(value)):
        assert len(text) <= MOST_SIGNS
        assert "\n" not in text
        assert "\x1b" not in text


@given(scalars)
def test_only_finite_numbers_are_real(value):
    found = real(value)
    sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    assert found == (float(value) if sound else None)


def test_an_integer_beyond_the_floats_is_none():
    assert real(10**400) is None


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, "{:.4f}", "-"),
        (1.23456, "{:.4f}", "1.2346"),
        (0, "{}", "0"),
        (0.5, "{:.2%}", "50.00%"),
        (math.nan, "{:.4f}", "nan"),
        ("<b>", "{:.4f}", "<b>"),
        (True, "{}", "yes"),
        ([1, "a"], "{}", "1, a"),
        ({"a": 1}, "{}", json.dumps({"a": 1})),
    ],
)
def test_values_as_text(value, form, text):
    assert number(value, form) == text


def test_an_integer_that_python_does_not_write_out_is_named():
    assert number(10**5000, "{:,}") == "int"
