"""The benchmark of the width of vectors."""

import json

import pytest

from benchmarks import vectors
from tests.benchmarks.commands import QUICK, tables
from xnn.kernels import threads


def test_vectors_take_turns_in_two_processes(run, tmp_path):
    from xnn.kernels.numpy.simd import LANES

    if LANES == 8:
        pytest.skip("Numba compiles for a processor without AVX-512: there is one width of vectors")
    path = tmp_path / "figures.json"
    printed = run(vectors, "--threads", threads.count(), *QUICK, "--only", "784-128-10", "--json", path)
    (table,) = tables(printed.out)
    assert [(row["network"], row["batch"]) for row in table] == [("mlp 784-128-10", n) for n in ("1", "128", "512")]
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    assert all(min(*figure["ms"].values(), figure["ratio"]) > 0 for figure in figures)


def test_vectors_says_where_there_is_one_width(run, monkeypatch):
    monkeypatch.setattr("xnn.kernels.numpy.simd.LANES", 8)
    with pytest.raises(SystemExit, match="without AVX-512"):
        run(vectors, *QUICK)
