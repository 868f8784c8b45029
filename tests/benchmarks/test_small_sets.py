"""The benchmark of few pictures."""

import json

import pytest

import xnn
from benchmarks import small_sets
from tests.benchmarks.commands import tables
from xnn.recipes import cnn


def test_small_sets_go_on_where_they_stopped(tmp_path, monkeypatch, capsys):
    few = small_sets.SmallSet("digits", 2, 3, "grey, 8 x 8")
    monkeypatch.setattr(small_sets, "SETS", {"digits-6": few})
    monkeypatch.setattr(small_sets, "LENGTHS", (1.0,))
    monkeypatch.setattr(small_sets, "BATCHES", (1,))
    monkeypatch.setattr(cnn, "_STEPS", 10)
    monkeypatch.setenv("XNN_CACHE_DIR", "")
    results = tmp_path / "results.jsonl"
    small_sets.main([str(tmp_path), str(results), "--seeds", "1"])
    rows = small_sets.read(results)
    assert [row["point"] for row in rows] == [[1.0, 1, 1.0], [1 / 3, 1, 1.0], [3.0, 1, 1.0]]
    assert {(row["steps"], row["tested"]) for row in rows} == {(10, 360 - 6)}
    assert [row["lr"] / rows[0]["lr"] for row in rows] == pytest.approx([1.0, 1 / 3, 3.0])
    (cells,) = tables(capsys.readouterr().out)[0]
    assert cells["pictures"] == "grey, 8 x 8"
    assert cells["training images"] == "6 in 2 classes"
    assert cells["default"] == f"{100 * rows[0]['accuracy']:.2f} %"
    assert cells["best of the sweep"] == f"{100 * max(row['accuracy'] for row in rows):.2f} %"

    results.write_text("".join(f"{json.dumps(row)}\n" for row in rows[1:]), encoding="utf-8")
    small_sets.main([str(tmp_path), str(results), "--seeds", "1"])
    *kept, again = small_sets.read(results)
    assert kept == rows[1:]
    assert {**again, "seconds": 0.0} == {**rows[0], "seconds": 0.0}


def test_small_sets_are_trained_as_the_command_does(tmp_path, monkeypatch):
    monkeypatch.setattr(cnn, "_STEPS", 30)
    few = small_sets.SmallSet("digits", 2, 3, "grey, 8 x 8")
    root = small_sets.write_folder(tmp_path / "few", few, 7, tmp_path)
    row = small_sets.run(root, 7, small_sets.DEFAULT)
    result = xnn.train(xnn.Settings(dataset=str(root), seed=7, backend="numpy", run_dir=str(tmp_path / "run")))
    assert result.values["test_accuracy"] == row["accuracy"]
    assert result.values["test_loss"] == pytest.approx(row["loss"], rel=1e-6)
