"""The tables of Winograd's rounding errors."""

from benchmarks import winograd_error
from tests.benchmarks.commands import tables


def test_winograd_error_prints_its_tables(run, monkeypatch):
    monkeypatch.setattr(winograd_error, "SHAPES", ((8, 4, 4),))
    mean, largest = tables(run(winograd_error).out)
    for rows in (mean, largest):
        assert [row["result"] for row in rows] == ["y", "dx", "dweight"]
    for row in mean:
        assert 0.0 < float(row["plain"]) < float(row["Winograd, tiles of eight"]) < float(row["TF32"])
