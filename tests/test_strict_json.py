"""JSON from outside is refused where it is more, or other, than JSON."""

import pytest

from xnn.strict_json import parsed


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "[-Infinity]", "[1e999]", "{", "", "\xff", "[" * 100_000])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parsed(text)
