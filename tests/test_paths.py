from pathlib import Path

import pytest

from tests.trouble import deny
from xnn.errors import RunError
from xnn.paths import expanded


def test_a_path_is_expanded_whether_or_not_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "file").touch()
    for name in ("file", "absent", "file/below"):
        assert expanded(f"~/{name}", "run", RunError) == tmp_path / name
    assert expanded(Path("relative"), "run", RunError) == Path("relative")


@pytest.mark.parametrize(
    ("text", "why"),
    [("~no-such-user/x", "home directory"), ("x" * 300, "name too long"), ("a\0b", "null")],
    ids=["user", "long", "null"],
)
def test_an_impossible_path_is_one_line(text, why):
    with pytest.raises(RunError) as caught:
        expanded(text, "run directory", RunError)
    assert str(caught.value).startswith(f"run directory {text}: ")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_that_may_not_be_looked_up_names_the_reason(monkeypatch):
    deny(monkeypatch, "stat", lambda path: True)
    with pytest.raises(RunError, match=r"^run directory closed/x: Permission denied$"):
        expanded("closed/x", "run directory", RunError)
