"""``xnn-export`` as a person uses it."""

import json
import re

import numpy as np
import pytest

from tests.cli.commands import refusal_by
from tests.exporting.sessions import session
from tests.reporting.runs import StopAfter
from tests.runs.rows import quick
from xnn.cli.export import main
from xnn.data import load
from xnn.exporting.opsets import newest_opset
from xnn.reporting.evaluation import evaluate
from xnn.reporting.saved import load_model
from xnn.runs.run import train

assert_refused = refusal_by(main, silent=True)


def test_a_run_becomes_a_file(finished, tmp_path, capsys):
    path = tmp_path / "model.onnx"
    assert main([str(finished.directory), str(path)]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"wrote {path}: {path.stat().st_size:,} bytes, opset 21"
    assert rest == [
        "  input   images (batch, 8, 8, 1) of uint8",
        "  output  probabilities (batch, 10) of float32",
    ]
    computing, test = session(path), load("digits").test
    (found,) = computing.run(None, {"images": test.images})
    assert np.mean(found.argmax(axis=1) == test.labels) == evaluate(load_model(finished.directory), test).accuracy
    names = json.loads(computing.get_modelmeta().custom_metadata_map["classes"])
    assert names == [str(digit) for digit in range(10)]


def test_another_version_of_the_operators(finished, tmp_path, capsys):
    assert main([str(finished.directory), str(tmp_path / "model.onnx"), "--opset", "18"]) == 0
    assert "opset 18" in capsys.readouterr().out


@pytest.mark.parametrize("opset", ["17", "1e3", "twenty", "-3", "99999999999999"])
def test_an_odd_version_is_refused(finished, tmp_path, capsys, opset):
    expected = f"--opset {opset}: expected a whole number from 18 to {newest_opset()}"
    assert_refused(capsys, [str(finished.directory), str(tmp_path / "model.onnx"), f"--opset={opset}"], expected)
    assert not list(tmp_path.iterdir())


def test_views_are_named(tmp_path, capsys):
    train(quick(tmp_path / "run", epochs=1, test_views=2))
    assert main([str(tmp_path / "run"), str(tmp_path / "model.onnx")]) == 0
    assert "the mean over 2 views of each image, as the run was judged" in capsys.readouterr().out


def test_a_run_under_way_says_how_far_it_was(tmp_path, capsys):
    train(quick(tmp_path / "run", epochs=3), callbacks=[StopAfter(30)])
    assert main([str(tmp_path / "run"), str(tmp_path / "model.onnx")]) == 0
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"xnn-export: .*run is not complete: its model is as it was after epoch 1 of 3, batch 7\n", said
    )


def test_what_cannot_be_is_one_line(finished, tmp_path, capsys):
    assert_refused(capsys, [str(tmp_path / "nothing"), "model.onnx"], "nothing")
    assert_refused(capsys, [str(finished.directory)], "FILE")
    assert_refused(capsys, [str(finished.directory), str(tmp_path / "no" / "model.onnx")], "cannot write")
