"""The table of xnn beside other libraries."""

import json
from dataclasses import replace

import pytest

import xnn
from benchmarks import networks, peers
from benchmarks.networks import NETWORKS
from tests.benchmarks.commands import QUICK, tables
from xnn import kernels
from xnn.kernels import threads

SMALL = {
    "mlp 784-128-10": replace(NETWORKS["mlp 784-128-10"], batches=(2,)),
    "LeNet-5": replace(NETWORKS["LeNet-5"], batches=(2,), inference_batches=(1,)),
}


def test_peers_print_one_table_and_write_it(run, monkeypatch, tmp_path):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(networks, "NETWORKS", SMALL)
    files = {"--markdown": tmp_path / "table.md", "--json": tmp_path / "table.json"}
    options = [word for pair in files.items() for word in pair]
    printed = run(peers, "--peers", "sklearn,torch", "--threads", threads.count(), *QUICK, *options)

    assert files["--markdown"].read_text(encoding="utf-8") == printed.out
    (table,) = tables(printed.out)
    updates = [(f"training, {rule}", batch) for rule in ("momentum 0.9", "Adam") for batch in ("1", "128")]
    assert [(row["network"], row["what"], row["batch"]) for row in table] == [
        *(("mlp 784-128-10", *work) for work in [("training", "2"), *updates]),
        *(("LeNet-5", *work) for work in [("training", "2"), ("inference", "1")]),
    ]
    columns = ["network", "what", "batch", "xnn, ms", "PyTorch, ms", "scikit-learn, ms", "best PyTorch / xnn"]
    both = ["default PyTorch / xnn", "fused PyTorch / xnn"]
    assert list(table[0]) == columns + both
    assert [row["scikit-learn, ms"] == "-" for row in table] == [False] * 5 + [True] * 2
    assert [[row[column] == "-" for column in both] for row in table] == [
        [row["what"] in ("training", "inference")] * 2 for row in table
    ]

    record = json.loads(files["--json"].read_text(encoding="utf-8"))
    about = {"date", "processor", "cores", "load", "threads", "blas", "versions", "repeats", "seconds", "rows"}
    assert about <= set(record)
    assert record["blas"] == kernels.products(xnn.backend("numpy")).get("BLAS", "unknown BLAS")
    assert [row["optimizer"] for row in record["rows"]] == ["sgd", *["momentum"] * 2, *["adam"] * 2, "sgd", None]
    assert {"python", "numpy", "torch", "scikit-learn", "xnn-array"} <= set(record["versions"])
    for cells, row in zip(table, record["rows"], strict=True):
        assert cells["xnn, ms"] == f"{row['milliseconds']['xnn']:.3f}"
        assert cells["best PyTorch / xnn"] == f"{row['ratio']:.2f}"
        assert row["ratio"] == pytest.approx(row["milliseconds"]["torch"] / row["milliseconds"]["xnn"])
        assert row["ratio"] == min(row["ratios"].values())
        if row["optimizer"] in ("momentum", "adam"):
            assert [cells[column] for column in both] == [f"{ratio:.2f}" for ratio in row["ratios"].values()]
        assert all(len(turns) == 1 for turns in row["turns"].values())
    variants = [[name for name in row["turns"] if name.startswith("PyTorch")] for row in record["rows"]]
    layouts = ["PyTorch, channels first", "PyTorch, channels last"]
    assert variants == [["PyTorch"], *[["PyTorch", "PyTorch, fused"]] * 4, layouts, layouts]


def test_a_peer_that_is_not_installed_is_left_out(run, monkeypatch):
    monkeypatch.setattr(networks, "NETWORKS", SMALL)
    nowhere = peers.Peer("PyTorch", "benchmarks.peers_torch", (("no_such_module", "no-such-package"),))
    monkeypatch.setitem(peers.PEERS, "torch", nowhere)
    printed = run(peers, "--peers", "torch", "--only", "mlp", "--threads", threads.count(), *QUICK)
    assert printed.err.splitlines() == ["torch: left out, since no-such-package cannot be imported"]
    (rows,) = tables(printed.out)
    assert list(rows[0]) == ["network", "what", "batch", "xnn, ms", "best PyTorch / xnn"]
    assert {row["best PyTorch / xnn"] for row in rows} == {"-"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--peers", "torch,caffe"], "'caffe' is unknown; choose from torch, compile, sklearn, jax, keras, or all"),
        (["--only", "transformer"], "--only transformer: no network's name holds this; there are mlp 784-128-10"),
        (["--repeats", "0"], "--threads, --repeats and --seconds must be positive"),
    ],
)
def test_peers_reject_options_without_sense(run, options, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(peers, "--threads", threads.count(), *options)
    assert message in capsys.readouterr().err


def test_peers_warn_of_turns_that_differ(capsys):
    row = {"network": "speed", "what": "inference", "batch": 1, "turns": {"xnn": [4.0, 7.9], "JAX": [3.0, 265.0, 3.1]}}
    peers.warn_of_spread(row)
    assert capsys.readouterr().err == (
        "speed, inference, batch 1: JAX was disturbed: its turns took 3.000 to 265.000 ms a step; "
        "run again on an idle machine\n"
    )


def test_peers_stand_in_the_same_order_however_they_are_named():
    assert peers.names("keras, torch") == ["torch", "keras"]
    assert peers.names("all") == list(peers.PEERS)
