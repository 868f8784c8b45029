"""How often, as users write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.runs.every import FORM, Every


@given(st.integers(0, 10**9))
def test_a_whole_number_is_steps(number):
    assert Every.parse(str(number)) == Every(steps=number or None)


@given(st.decimals(0, 10**6, places=2), st.sampled_from([("s", 1), ("m", 60), ("h", 3600)]))
def test_a_number_with_a_unit_is_a_time(number, unit):
    name, seconds = unit
    assert Every.parse(f"{number}{name}") == Every(seconds=float(number) * seconds or None)


@pytest.mark.parametrize(
    "text", ["", "m", "1.5", "-1", "+1", "10 m", "10M", "1e3", "1.h", ".5h", "nan", "٣", "1m30s", "9" * 99]
)
def test_all_else_is_refused(text):
    assert not FORM.fullmatch(text)
    with pytest.raises(ValueError, match="expected a number of steps such as 500, or a time such as 90s, 10m or 2h"):
        Every.parse(text)
