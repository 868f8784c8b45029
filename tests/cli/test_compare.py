"""``xnn-compare`` as a person uses it."""

import json
import re
import sys

import pytest

from tests.cli.commands import refusal_by
from xnn.cli.compare import main

assert_refused = refusal_by(main)
FAST = ["--hidden", "8", "--epochs", "1", "--batch-size", "64"]


def test_the_table(capsys):
    pytest.importorskip("sklearn")
    assert main(FAST) == 0
    out = capsys.readouterr().out
    assert "both: 64-8-8-10 with ReLU, adam" in out
    for name in ("trained by", "scikit-learn", "xnn, --model mlp"):
        assert name in out


def test_json_and_markdown_stand_alone(capsys):
    pytest.importorskip("sklearn")
    assert main([*FAST, "--model", "lab6", "--json"]) == 0
    assert [entrant["name"] for entrant in json.loads(capsys.readouterr().out)] == ["xnn", "scikit-learn"]
    assert main([*FAST, "--model", "lab6", "--markdown"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_bad_input_is_one_clear_line(capsys, monkeypatch):
    assert_refused(capsys, ["--epochs", "0"], "--epochs 0", "1 or more")
    assert_refused(capsys, ["--lr", "fast"], "--lr fast", "a number")
    assert_refused(capsys, ["--model", "cnn"], "--model cnn", "mlp or lab6")
    assert_refused(capsys, ["--schedule", "cosine"], "--schedule")
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    assert_refused(capsys, FAST, "scikit-learn cannot be imported", ".[compare]")


def test_divergence_is_one_line_and_its_own_exit_code(capsys):
    pytest.importorskip("sklearn")
    assert main([*FAST, "--optimizer", "sgd", "--lr", "1e38"]) == 3
    assert re.fullmatch(r"xnn-compare: error: [^\n]*became (nan|inf)[^\n]*\n", capsys.readouterr().err)
