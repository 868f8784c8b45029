"""The benchmark of exported files."""

import json

import numpy as np
import pytest

from benchmarks import onnx_speed

for package in ("onnx", "ndonnx", "onnxruntime"):
    pytest.importorskip(package, reason=f"the benchmark of ONNX files needs {package}")


def test_both_libraries_predict_the_same(tmp_path):
    shape = (8, 8, 1)
    model, normalization = onnx_speed.network("cnn", "digits", shape)
    session = onnx_speed.exported(model, normalization, tmp_path / "model.onnx", threads=1)
    turns = onnx_speed.predictions(model, normalization, session, onnx_speed.images_of(shape, 3))
    ours, theirs = (turns[name]() for name in ("xnn", "onnxruntime"))
    assert ours.shape == (3, 10)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_a_row_for_each_batch(monkeypatch, capsys, tmp_path):
    options = ["--repeats", "1", "--seconds", "1e-9", "--only", "mlp", "--threads", "1", "--json"]
    monkeypatch.setattr("sys.argv", ["onnx_speed", *options, str(tmp_path / "figures.json")])
    monkeypatch.setattr(onnx_speed.machine, "pin", lambda threads: None)
    onnx_speed.main()
    rows = [line.split("|")[1:4] for line in capsys.readouterr().out.splitlines() if line.startswith("| mlp")]
    sizes = ["28x28x1", "32x32x3"]
    assert [[cell.strip() for cell in row] for row in rows] == [["mlp", s, b] for s in sizes for b in ("1", "256")]
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert [len(row["seconds"]["onnxruntime"]) for row in figures] == [1] * 4
