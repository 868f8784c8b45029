"""Checks of arguments: what is allowed comes back, in Python's own types, and all else is named."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import _checks

INF = float("inf")
RANGES = {
    "positive": ("a finite number above 0", lambda x: 0 < x < INF),
    "non_negative": ("a finite number of at least 0", lambda x: 0 <= x < INF),
    "fraction": ("a number of at least 0 and below 1", lambda x: 0 <= x < 1),
    "share": ("a number above 0 and at most 1", lambda x: 0 < x <= 1),
    "finite": ("a finite number", lambda x: -INF < x < INF),
    "open_fraction": ("a number above 0 and below 1", lambda x: 0 < x < 1),
}
EDGES = st.sampled_from([0, 1, -1, 0.0, 1.0, -0.0, math.nan, INF, -INF, np.float32(0.5), 5e-324, True, "1", None, 1j])


@pytest.mark.parametrize("name", RANGES)
@given(value=st.one_of(EDGES, st.floats(), st.integers(-3, 3)))
def test_a_number_is_returned_if_it_is_in_the_range(name, value):
    expected, allowed = RANGES[name]
    if isinstance(value, float | int | np.floating) and not isinstance(value, bool) and allowed(value):
        found = getattr(_checks, name)("rate", value)
        assert found == value
        assert type(found) is float
    else:
        with pytest.raises(ValueError, match=f"^rate must be {expected}, not {re.escape(repr(value))}$"):
            getattr(_checks, name)("rate", value)


@given(value=st.one_of(EDGES, st.integers(), st.integers(-9, 9).map(np.int64)), least=st.integers(-1, 2))
def test_a_count_is_a_whole_number_of_any_kind_and_a_size_one_of_pythons(value, least):
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if is_whole and value >= least:
        found = _checks.count("steps", value, least)
        assert found == value
        assert type(found) is int
    else:
        message = f"^steps must be an integer of at least {least}, not {re.escape(repr(value))}$"
        with pytest.raises(ValueError, match=message):
            _checks.count("steps", value, least)
    assert _checks.is_size(value, least) == (type(value) is int and value >= least)


@given(value=st.one_of(EDGES, st.integers(), st.integers(-9, 9).map(np.int64)))
def test_an_integer_is_a_whole_number_of_either_sign(value):
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        found = _checks.integer("axis", value)
        assert found == value
        assert type(found) is int
    else:
        with pytest.raises(ValueError, match=f"^axis must be an integer, not {re.escape(repr(value))}$"):
            _checks.integer("axis", value)


@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_true_or_false(value):
    assert _checks.flag("nesterov", value) is value
    for bad in (int(value), None, "yes", np.bool_(value)):
        with pytest.raises(ValueError, match=f"^nesterov must be True or False, not {re.escape(repr(bad))}$"):
            _checks.flag("nesterov", bad)
