"""The benchmark beside scikit-learn's networks."""

import pytest

from benchmarks import sklearn_fit
from tests.benchmarks.commands import tables
from xnn.kernels import threads


def test_scikit_learns_networks_beside_ours_print_a_table(run, data_dir):
    pytest.importorskip("sklearn")
    if not (data_dir / "fashion-mnist").exists():
        pytest.skip("XNN_DATA_DIR does not hold fashion-mnist/")
    options = ["--threads", threads.count(), "--repeats", "1", "--images", "256"]
    (rows,) = tables(run(sklearn_fit, data_dir, *options).out)
    assert [row["fit"].split(",")[0] for row in rows] == ["classifier", "regressor"] * 2 + ["digits"]
    assert [row["examples"] for row in rows] == ["256"] * 4 + ["1347"]
    for row in rows:
        assert float(row["scikit-learn / xnn"]) > 0.0
        assert float(row["xnn's score"]) <= 1.0
