"""The benchmarks run and print what they promise; how fast anything is, is not tested.

torch.compile is not tested here: it takes 20 seconds for one network.
"""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from benchmarks import (
    chart,
    data_size,
    image_by_image,
    machine,
    memory,
    networks,
    peers,
    peers_xnn,
    sklearn_epoch,
    timing,
    vectors,
    winograd_error,
)
from benchmarks.networks import NETWORKS

from xnn import nn, optim
from xnn.kernels import threads

QUICK = ("--repeats", "1", "--seconds", "0.001")
SMALL = {
    "mlp 784-128-10": replace(NETWORKS["mlp 784-128-10"], batches=(2,)),
    "LeNet-5": replace(NETWORKS["LeNet-5"], batches=(2,), inference_batches=(1,)),
}


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a benchmark's main with options and return what it printed; the process is left as it was."""
    count = str(threads.count())
    for variable in machine.VARIABLES:
        # So that what the benchmark sets is undone.
        monkeypatch.setenv(variable, count)
    # Threads that start meanwhile would stay on the cores they were born on.
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: None, raising=False)
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()

    def run(module, *options):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, options)])
        module.main()
        return capsys.readouterr()

    yield run
    torch.set_num_threads(before)


def tables(text):
    """Return the Markdown tables in a text, each as dicts by column; each row has a cell for each column."""
    found, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            head, rule, *body = rows
            assert set("".join(rule)) == {"-"}
            assert body, f"no rows below {head}"
            found.append([dict(zip(head, row, strict=True)) for row in [rule, *body]][1:])
            rows = []
    return found


# --- the table of peers ---


def test_peers_print_one_table_and_write_it(run, monkeypatch, tmp_path):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(networks, "NETWORKS", SMALL)
    files = {"--markdown": tmp_path / "table.md", "--json": tmp_path / "table.json"}
    options = [word for pair in files.items() for word in pair]
    printed = run(peers, "--peers", "sklearn,torch", "--threads", threads.count(), *QUICK, *options)

    assert files["--markdown"].read_text(encoding="utf-8") == printed.out
    (table,) = tables(printed.out)
    assert [(row["network"], row["what"], row["batch"]) for row in table] == [
        ("mlp 784-128-10", "training", "2"),
        ("LeNet-5", "training", "2"),
        ("LeNet-5", "inference", "1"),
    ]
    columns = ["network", "what", "batch", "xnn, ms", "PyTorch, ms", "scikit-learn, ms", "best PyTorch / xnn"]
    assert list(table[0]) == columns
    assert [row["scikit-learn, ms"] == "-" for row in table] == [False, True, True]

    record = json.loads(files["--json"].read_text(encoding="utf-8"))
    assert {"date", "processor", "cores", "load", "threads", "versions", "repeats", "seconds", "rows"} <= set(record)
    assert {"python", "numpy", "torch", "scikit-learn", "xnn-array"} <= set(record["versions"])
    for cells, row in zip(table, record["rows"], strict=True):
        assert cells["xnn, ms"] == f"{row['milliseconds']['xnn']:.3f}"
        assert cells["best PyTorch / xnn"] == f"{row['ratio']:.2f}"
        assert row["ratio"] == pytest.approx(row["milliseconds"]["torch"] / row["milliseconds"]["xnn"])
        assert all(len(turns) == 1 for turns in row["turns"].values())
    variants = [[name for name in row["turns"] if name.startswith("PyTorch")] for row in record["rows"]]
    layouts = ["PyTorch, channels first", "PyTorch, channels last"]
    assert variants == [["PyTorch"], layouts, layouts]


def test_a_peer_that_is_not_installed_is_left_out(run, monkeypatch):
    monkeypatch.setattr(networks, "NETWORKS", SMALL)
    nowhere = peers.Peer("PyTorch", "benchmarks.peers_torch", (("no_such_module", "no-such-package"),))
    monkeypatch.setitem(peers.PEERS, "torch", nowhere)
    printed = run(peers, "--peers", "torch", "--only", "mlp", "--threads", threads.count(), *QUICK)
    assert printed.err.splitlines() == ["torch: left out, since no-such-package cannot be imported"]
    ((row,),) = tables(printed.out)
    assert list(row) == ["network", "what", "batch", "xnn, ms", "best PyTorch / xnn"]
    assert row["best PyTorch / xnn"] == "-"


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
    row = {"network": "speed", "kind": "inference", "batch": 1, "turns": {"xnn": [4.0, 7.9], "JAX": [3.0, 265.0, 3.1]}}
    peers.warn_of_spread(row)
    assert capsys.readouterr().err == (
        "speed, inference, batch 1: JAX was disturbed: its turns took 3.000 to 265.000 ms a step; "
        "run again on an idle machine\n"
    )


def test_peers_stand_in_the_same_order_however_they_are_named():
    assert peers.names("keras, torch") == ["torch", "keras"]
    assert peers.names("all") == list(peers.PEERS)


# --- the chart ---


def test_the_chart_draws_each_ratio_on_its_side_of_one(tmp_path):
    figures, picture = tmp_path / "peers.json", tmp_path / "peers.svg"
    task = {"kind": "training", "batch": 1}
    ratios = {"a <b>": 2.0, "c": 0.5, "d": 1.0, "scikit-learn alone": None}
    rows = [{"network": name, "ratio": ratio, **task} for name, ratio in ratios.items()]
    about = {"processor": "AMD & Co", "threads": 2, "date": "2026-11-29T14:12:00+00:00"}
    figures.write_text(json.dumps({**about, "rows": rows}), encoding="utf-8")
    chart.main([str(figures), str(picture)])

    svg = ElementTree.parse(picture).getroot()
    texts = [element.text for element in svg.iter() if element.tag.endswith("text")]
    assert {"a <b>", "c", "d", "2.00", "0.50", "1.00", "AMD & Co, 2 threads, 2026-11-29; number: batch size"} <= {
        *texts
    }
    assert "scikit-learn alone" not in texts
    faster, slower, equal = (bar.attrib for bar in svg.iter() if bar.get("class") in ("faster", "slower"))
    (one,) = (float(line.get("x1")) for line in svg.iter() if line.get("class") == "one")
    assert (faster["class"], slower["class"]) == ("faster", "slower")
    # As long on the one side as on the other: the scale is logarithmic.
    assert float(faster["x"]) == pytest.approx(one)
    assert float(slower["x"]) + float(slower["width"]) == pytest.approx(one)
    assert float(faster["width"]) == pytest.approx(float(slower["width"]))
    assert float(equal["width"]) == 0 < float(faster["width"])


def test_the_chart_asks_for_pytorch(tmp_path, capsys):
    figures = tmp_path / "peers.json"
    figures.write_text(json.dumps({"rows": [{"network": "speed", "ratio": None}]}), encoding="utf-8")
    with pytest.raises(SystemExit, match="2"):
        chart.main([str(figures), str(tmp_path / "peers.svg")])
    assert "run benchmarks.peers with torch among its --peers" in capsys.readouterr().err


# --- that the peers compute the same ---


@pytest.mark.parametrize("name", NETWORKS)
def test_pytorch_has_as_many_parameters(name):
    pytest.importorskip("torch")
    network = NETWORKS[name]
    model = network.xnn().build(network.input_shape, backend="numpy")
    frozen_scales = {name for name, p in network.torch().named_parameters() if not p.requires_grad and p.ndim == 1}
    counted = {
        name: p.numel() for name, p in network.torch().named_parameters() if name not in frozen_scales - {"0.bias"}
    }
    assert sum(counted.values()) == model.parameters.flat.size


def xnn_after_a_step(network):
    """Return logits in inference, and parameters before and after one step."""
    model, x, y = peers_xnn.xnn_model(network, 4)
    logits, before = model(x), model.state_dict()
    optimizer, loss = optim.SGD(model, lr=peers_xnn.RATE), nn.SoftmaxCrossEntropy()
    outputs, pullback = model.forward(x, train=True)
    pullback(loss.forward(outputs, y)[1](), input_gradient=False)
    optimizer.step()
    return logits, before, model.state_dict()


@pytest.mark.parametrize("name", ["mlp 784-128-10", "LeNet-5", "conv-norm 32-64-128", "residual"])
def test_jax_computes_the_same(name):
    pytest.importorskip("jax")
    from benchmarks import peers_jax

    logits, before, after = xnn_after_a_step(NETWORKS[name])
    np.testing.assert_allclose(peers_jax.jax_inference(NETWORKS[name], 4)(), logits, rtol=1e-4, atol=1e-4)
    trained, running = peers_jax.trainer(NETWORKS[name], 4)()
    assert set(trained) | set(running) == set(after)
    for key, value in (trained | running).items():
        moved, expected = np.asarray(value) - before[key], after[key] - before[key]
        np.testing.assert_allclose(moved, expected, rtol=0, atol=0.01 * np.max(np.abs(expected)) + 1e-9, err_msg=key)


@pytest.mark.parametrize("name", ["mlp 784-128-10", "LeNet-5", "conv-norm 32-64-128", "residual"])
def test_keras_computes_the_same(name):
    pytest.importorskip("jax")
    # Not imported to find out: it would take another backend.
    if importlib.util.find_spec("keras") is None:
        pytest.skip("could not import 'keras'")
    from benchmarks import peers_keras

    logits, before, after = xnn_after_a_step(NETWORKS[name])
    model, x, y = peers_keras.keras_model(NETWORKS[name], 4)
    np.testing.assert_allclose(model.predict_on_batch(x), logits, rtol=1e-4, atol=1e-4)
    start = [np.asarray(variable.value) for variable in model.trainable_variables]
    model.train_on_batch(x, y)
    moved = [np.linalg.norm(v.value - a) for v, a in zip(model.trainable_variables, start, strict=True)]
    expected = [np.linalg.norm(after[key] - before[key]) for key in before if "running" not in key]
    np.testing.assert_allclose(sorted(moved), sorted(expected), rtol=0.01, atol=1e-7)


# --- timing and threads ---


def test_turns_rotate_and_steps_are_divided(monkeypatch):
    clock, log = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def costs(name, seconds):
        def function():
            # A call right after another function's is slow, and must not count.
            slow = log and log[-1] != name
            log.append(name)
            clock[0] += seconds + (100 if slow else 0)

        return function

    functions = {"a": costs("a", 1.0), "b": costs("b", 2.0), "c": costs("c", 4.0)}
    times = timing.alternate(functions, repeats=3, seconds=40, steps={"b": 4})
    assert times == {"a": [1.0] * 3, "b": [0.5] * 3, "c": [4.0] * 3}
    order = [name for name, before in zip(log, [None, *log], strict=False) if name != before]
    # To find how often each fits, then each repeat's.
    assert order == [*"abc", *"abc", *"bca", *"cab"]
    assert [log.count(name) for name in "abc"] == [4 + 3 * (40 + 2), 4 + 3 * (20 + 1), 4 + 3 * (10 + 1)]


def test_the_ratio_is_of_pairs():
    assert timing.median_ratio([2.0, 30.0, 4.0], [1.0, 10.0, 1.0]) == 3.0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot keep a process to some cores")
def test_pin_sets_variables_and_cores():
    code = (
        "import os, sys; from benchmarks import machine, peers; machine.pin(1); "
        "print(len(os.sched_getaffinity(0)), *(os.environ[name] for name in machine.VARIABLES), 'numpy' in sys.modules)"
    )
    root = Path(peers.__file__).parent.parent
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    # NumPy asks for its number of threads when it is imported, so it must not have been.
    assert printed.stdout.split() == ["1"] * (1 + len(machine.VARIABLES)) + ["False"]


# --- the other benchmarks ---


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


def test_memory_prints_a_table(run, monkeypatch, tmp_path):
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("/proc/self/clear_refs is missing: the benchmark needs Linux")
    measured = {"xnn": 10.0, "torch, channels first": 40.0, "torch, channels last": 20.0}
    monkeypatch.setattr(memory, "in_process", lambda variant, batch: batch * measured[variant])
    path = tmp_path / "memory.json"
    printed = run(memory, "--batches", "1", "2", "--threads", threads.count(), "--json", path)
    (table,) = tables(printed.out)
    assert [(row["batch"], row["xnn, MiB"], row["xnn / better PyTorch"]) for row in table] == [
        ("1", "10", "0.50"),
        ("2", "20", "0.50"),
    ]
    assert json.loads(path.read_text(encoding="utf-8"))[1] == {
        "batch": 2,
        "ratio": 0.5,
        **{variant: 2 * mib for variant, mib in measured.items()},
    }


def test_memory_measures_a_step(run):
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("/proc/self/clear_refs is missing: the benchmark needs Linux")
    assert float(run(memory, "--measure", "xnn", "--batches", "4").out) >= 0


def test_data_size_trains_on_a_mapped_file_in_a_process_of_its_own(run, tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("/proc/self/status is missing: the benchmark needs Linux")
    path = tmp_path / "sizes.json"
    options = ("--images", "1", "30", "--batch", "4", "--steps", "20", "--threads", "1", "--json", path)
    (table,) = tables(run(data_size, *options).out)
    assert [(row["images"], row["batch"]) for row in table] == [("1", "4"), ("30", "4")]
    for row, figures in zip(table, json.loads(path.read_text(encoding="utf-8")), strict=True):
        assert int(row["images"]) == figures["images"]
        assert figures["microseconds"] > 0
        assert 10 < figures["mib"] < 2000


def test_image_by_image_prints_a_table(run):
    options = ("--hidden", "8", "300", "--images", "3", "--repeats", "1", "--threads", threads.count())
    (table,) = tables(run(image_by_image, *options).out)
    assert [row["hidden units"] for row in table] == ["8", "300"]
    assert all(float(row["without / looking ahead"]) > 0 for row in table)


def test_scikit_learn_epoch_prints_a_table(run, data_dir):
    pytest.importorskip("sklearn")
    if not (data_dir / "fashion-mnist").exists():
        pytest.skip("XNN_DATA_DIR does not hold fashion-mnist/")
    options = ["--threads", threads.count(), "--repeats", "1", "--images", "256"]
    ((row,),) = tables(run(sklearn_epoch, data_dir, *options).out)
    assert row["images"] == "256"


def test_winograd_error_prints_its_tables(run, monkeypatch):
    monkeypatch.setattr(winograd_error, "SHAPES", ((8, 4, 4),))
    mean, largest = tables(run(winograd_error).out)
    for rows in (mean, largest):
        assert [row["result"] for row in rows] == ["y", "dx", "dweight"]
    for row in mean:
        assert 0.0 < float(row["plain"]) < float(row["Winograd, tiles of eight"]) < float(row["TF32"])
