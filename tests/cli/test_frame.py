"""What is printed holds no control characters, and an error is one line of bounded length."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xnn.cli.frame import MOST_OF_ERROR, complain, say
from xnn.errors import DataError


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.sampled_from(["\x1b]0;x\x07", "a\r\nb", "\u202e\u2066", "\x9b", "\udcff"]))
def test_a_line_is_a_line(capsys, text):
    say(text)
    assert complain("xnn", DataError(text), 2) == 2
    captured = capsys.readouterr()
    for line in (captured.out, captured.err):
        assert line.count("\n") == 1
        assert line.endswith("\n")
        assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 or sign in "\u2028\u202e\u2066" for sign in line[:-1])


@pytest.mark.parametrize("text", ["a" * 10**6, "\x1b" * 10**6])
def test_an_error_is_cut(capsys, text):
    complain("xnn", DataError(text), 2)
    assert len(capsys.readouterr().err) <= MOST_OF_ERROR + 1
