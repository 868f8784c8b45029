"""The memory of a training step, and of training on a mapped file."""

import json
from pathlib import Path

import pytest

from benchmarks import data_size, memory
from tests.benchmarks.commands import tables
from xnn.kernels import threads

needs_linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the benchmark needs Linux")


@needs_linux
def test_memory_prints_a_table(run, monkeypatch, tmp_path):
    measured = {"xnn": 10.0, "torch, channels first": 40.0, "torch, channels last": 20.0}
    monkeypatch.setattr(memory, "in_process", lambda variant, batch: batch * measured[variant])
    path = tmp_path / "memory.json"
    printed = run(memory, "--batches", "1", "2", "--threads", threads.count(), "--json", path)
    (table,) = tables(printed.out)
    found = [(row["batch"], row["xnn, MiB"], row["xnn / better PyTorch"]) for row in table]
    assert found == [("1", "10", "0.50"), ("2", "20", "0.50")]
    expected = {variant: 2 * mib for variant, mib in measured.items()}
    assert json.loads(path.read_text(encoding="utf-8"))[1] == {"batch": 2, "ratio": 0.5, **expected}


@needs_linux
def test_memory_measures_a_step(run):
    assert float(run(memory, "--measure", "xnn", "--batches", "4").out) >= 0


@needs_linux
def test_data_size_trains_on_a_mapped_file_in_a_process_of_its_own(run, tmp_path):
    path = tmp_path / "sizes.json"
    options = ("--images", "1", "30", "--batch", "4", "--steps", "20", "--threads", "1", "--json", path)
    (table,) = tables(run(data_size, *options).out)
    assert [(row["images"], row["batch"]) for row in table] == [("1", "4"), ("30", "4")]
    for row, figures in zip(table, json.loads(path.read_text(encoding="utf-8")), strict=True):
        assert int(row["images"]) == figures["images"]
        assert figures["microseconds"] > 0
        assert 10 < figures["mib"] < 2000
