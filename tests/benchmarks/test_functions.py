"""The tables of functions and of their geometries."""

import importlib
import json

import pytest

from tests.benchmarks.commands import QUICK, tables
from xnn.kernels import threads


@pytest.mark.parametrize(
    ("name", "only"),
    [
        ("functions", "relu"),
        ("geometry", "1 x 1"),
        ("geometry", "along with Winograd: 3 x 3, 256 x 7"),
        ("geometry", "tiles: 3 x 3, 256 x 7"),
    ],
)
def test_tables_of_functions(run, tmp_path, name, only):
    module = importlib.import_module(f"benchmarks.{name}")
    path = tmp_path / "figures.json"
    printed = run(module, "--threads", threads.count(), *QUICK, "--only", only, "--json", path)
    rows = [row for table in tables(printed.out) for row in table]
    assert rows
    record = json.loads(path.read_text(encoding="utf-8"))
    assert {"date", "processor", "threads", "versions"} <= set(record)
    assert len(record["figures"]) == len(rows)
