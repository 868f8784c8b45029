"""What messages are made of."""

from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import some


@given(count=st.integers(0, 2000))
def test_some_names_a_few_and_counts_the_rest(count):
    names = [f"n{number}" for number in range(count)]
    shown = some(names).split(", ")
    if count <= 6:
        assert some(names) == ", ".join(names)
    else:
        assert shown == [*names[:5], f"... and {count - 5:,} more"]
    assert len(some(names)) < 60
