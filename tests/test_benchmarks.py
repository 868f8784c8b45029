"""The benchmarks run and print what they promise; how fast anything is, is not tested.

torch.compile is not tested here: it takes 20 seconds for one network.
"""

import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from benchmarks import (
    chart,
    commits,
    core_distance,
    data_size,
    machine,
    memory,
    networks,
    peers,
    peers_torch,
    peers_xnn,
    ping_pong,
    sklearn_fit,
    small_sets,
    tasks,
    timing,
    vectors,
    winograd_error,
)
from benchmarks.networks import NETWORKS
from benchmarks.tasks import Task
from hypothesis import given
from hypothesis import strategies as st

import xnn
from xnn import kernels, nn
from xnn.kernels import threads
from xnn.recipes import cnn

QUICK = ("--repeats", "1", "--seconds", "0.001")
SMALL = {
    "mlp 784-128-10": replace(NETWORKS["mlp 784-128-10"], batches=(2,)),
    "LeNet-5": replace(NETWORKS["LeNet-5"], batches=(2,), inference_batches=(1,)),
}

needs_linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the benchmark needs Linux")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a benchmark's main with options and return what it printed; the process is left as it was."""
    count = str(threads.count())
    for variable in machine.VARIABLES:
        # So that what the benchmark sets is undone.
        monkeypatch.setenv(variable, count)
    # Or the benchmark might take the place of this process.
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
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
    caption = "AMD & Co, 2 threads, 2026-11-29; number: batch size"
    assert {"a <b>", "c", "d", "2.00", "0.50", "1.00", caption} <= {*texts}
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
    parameters = dict(network.torch().named_parameters())
    frozen_scales = {name for name, p in parameters.items() if not p.requires_grad and p.ndim == 1} - {"0.bias"}
    counted = sum(p.numel() for name, p in parameters.items() if name not in frozen_scales)
    assert counted == model.parameters.flat.size


def xnn_after(steps, network, optimizer="sgd"):
    """Return logits in inference, and parameters before and after so many steps."""
    model, x, y = peers_xnn.xnn_model(network, 4)
    logits, before = model(x), model.state_dict()
    update, loss = peers_xnn.xnn_optimizer(model, optimizer), nn.SoftmaxCrossEntropy()
    for _ in range(steps):
        outputs, pullback = model.forward(x, train=True)
        pullback(loss.forward(outputs, y)[1](), input_gradient=False)
        update.step()
    return logits, before, model.state_dict()


SAME = ("mlp 784-128-10", "LeNet-5", "conv-norm 32-64-128", "residual", "speed")


ALL = [*((name, "sgd") for name in SAME), *(("mlp 784-128-10", name) for name in ("momentum", "adam"))]


@pytest.mark.parametrize(("name", "optimizer"), ALL)
def test_jax_computes_the_same(name, optimizer, monkeypatch):
    pytest.importorskip("jax")
    from benchmarks import peers_jax

    steps = 1 if optimizer == "sgd" else 3
    monkeypatch.setitem(tasks.RATES, optimizer, 1e-3)
    logits, before, after = xnn_after(steps, NETWORKS[name], optimizer)
    np.testing.assert_allclose(peers_jax.jax_inference(NETWORKS[name], 4)(), logits, rtol=1e-4, atol=1e-4)
    train = peers_jax.trainer(NETWORKS[name], 4, optimizer)
    trained, running = [train() for _ in range(steps)][-1]
    assert_moved_alike(trained | running, before, after)


def assert_moved_alike(found, before, after):
    frozen = {name for name, value in after.items() if np.array_equal(value, before[name])}
    assert set(found) == set(after) - frozen
    for key, value in found.items():
        moved, expected = np.asarray(value) - before[key], after[key] - before[key]
        np.testing.assert_allclose(moved, expected, rtol=0, atol=0.01 * np.max(np.abs(expected)) + 1e-9, err_msg=key)


@pytest.mark.parametrize("optimizer", tasks.OPTIMIZERS)
@pytest.mark.parametrize("fused", [False, True])
def test_pytorch_updates_in_the_same_way(optimizer, fused, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setitem(tasks.RATES, optimizer, 1e-3)
    _, before, after = xnn_after(3, NETWORKS["mlp 784-128-10"], optimizer)
    model, x, y = peers_torch.torch_model(NETWORKS["mlp 784-128-10"], 4, False)
    # PyTorch's images have their channels first: of one channel the order of pixels is the same.
    model.load_state_dict({name: torch.tensor(array.T.copy()) for name, array in before.items()})
    update = peers_torch.torch_optimizer(model, optimizer, fused)
    for _ in range(3):
        update.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        update.step()
    found = {name: value.numpy().T for name, value in model.state_dict().items()}
    assert_moved_alike(found, before, after)


def keras_or_skip():
    pytest.importorskip("jax")
    # Not imported to find out: it would take another backend.
    if importlib.util.find_spec("keras") is None:
        pytest.skip("could not import 'keras'")
    return importlib.import_module("benchmarks.peers_keras")


@pytest.mark.parametrize(("name", "optimizer"), ALL)
def test_keras_computes_the_same(name, optimizer, monkeypatch):
    peers_keras = keras_or_skip()
    monkeypatch.setitem(tasks.RATES, optimizer, 1e-3)
    logits, before, after = xnn_after(2, NETWORKS[name], optimizer)
    model, x, y = peers_keras.keras_model(NETWORKS[name], 4, optimizer)
    np.testing.assert_allclose(model.predict_on_batch(x), logits, rtol=1e-4, atol=1e-4)
    start = [np.asarray(variable.value) for variable in model.trainable_variables]
    for _ in range(2):
        model.train_on_batch(x, y)
    moved = [np.linalg.norm(v.value - a) for v, a in zip(model.trainable_variables, start, strict=True)]
    expected = [np.linalg.norm(after[key] - before[key]) for key in before if "running" not in key]
    # What is frozen is not among Keras's trainable variables.
    expected = [distance for distance in expected if distance]
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


@pytest.fixture(autouse=True)
def cores_that_stay_near(request, monkeypatch):
    """Two processes that measured at once on two cores would wait for each other's time slices, for minutes."""
    if request.node.name != "test_a_message_between_cores_takes_time":
        monkeypatch.setattr(ping_pong, "distance", lambda one, other: 40.0)


class Host:
    """Stands in for a host that moves the cores: near at first, then as it is told, then near again."""

    def __init__(self, monkeypatch, distances):
        self.seen = []
        rest = itertools.chain([40.0], distances, itertools.repeat(40.0))
        monkeypatch.setattr(ping_pong, "distance", lambda one, other: self.seen.append(next(rest)) or self.seen[-1])
        monkeypatch.setattr(core_distance, "_PAUSE", 0.0)
        self.cores = core_distance.Cores(2, patience=20)
        self.cores._cores = [0, 1]


@given(distances=st.lists(st.sampled_from([40.0, 80.0, 119.0, 121.0, 400.0]), max_size=19))
def test_a_turn_counts_only_if_the_cores_were_near_before_and_after_it(distances):
    with pytest.MonkeyPatch.context() as monkeypatch:
        host, turns = Host(monkeypatch, distances), []
        # A turn tells how many distances were seen before it.
        counted = host.cores.while_near(lambda: turns.append(len(host.seen)) or turns[-1])
    assert counted == turns[-1] == len(host.seen) - 1
    assert max(host.seen[-2:]) < 120
    # Each turn began with the cores near, and those before the last did not end so.
    assert all(host.seen[turn - 1] < 120 <= host.seen[turn] for turn in turns[:-1])


def test_a_turn_is_taken_at_last_even_if_the_cores_stay_apart(monkeypatch):
    host, turns = Host(monkeypatch, [400.0] * 30), []
    assert host.cores.while_near(lambda: turns.append(1.0) or 2.0) == 2.0
    # One began with the cores near, one is taken in the end.
    assert len(turns) == 2


def test_with_one_thread_no_distance_is_measured(monkeypatch):
    monkeypatch.setattr(ping_pong, "distance", None)
    assert core_distance.Cores(1).while_near(lambda: 3.0) == 3.0


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda pid: [0])(0)) < 2, reason="needs two cores")
def test_a_message_between_cores_takes_time():
    one, other = sorted(os.sched_getaffinity(0))[:2]
    assert 1 < ping_pong.distance(one, other) < 1e6
    # The pinned threads are gone, and the process is where it was.
    assert {one, other} <= os.sched_getaffinity(0)


def test_the_ratio_is_of_pairs():
    assert timing.median_ratio([2.0, 30.0, 4.0], [1.0, 10.0, 1.0]) == 3.0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot keep a process to some cores")
def test_pin_sets_variables_and_cores():
    code = (
        "import os, sys; from benchmarks import machine, peers; machine.pin(1); "
        "print(len(os.sched_getaffinity(0)), *(os.environ[name] for name in machine.VARIABLES), 'numpy' in sys.modules)"
    )
    root = Path(peers.__file__).parent.parent
    environment = {name: value for name, value in os.environ.items() if name not in machine.HOLDING}
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    # NumPy asks for its number of threads when it is imported, so it must not have been.
    assert printed.stdout.split() == ["1"] * (1 + len(machine.VARIABLES)) + ["False"]


def test_a_processor_held_back_is_released(monkeypatch, capsys):
    started = []
    monkeypatch.setattr(kernels, "held_back", lambda backend: "something is slow")
    monkeypatch.setattr(os, "execve", lambda *command: started.append(command))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "256")
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "benchmarks.peers", "--only", "a b"])
    machine.release()
    ((program, command, environment),) = started
    assert [program, *command] == [sys.executable, sys.executable, "-m", "benchmarks.peers", "--only", "a b"]
    left = dict(os.environ)
    del left["OPENBLAS_CORETYPE"], left["OPENBLAS_L2_SIZE"]
    assert environment == left
    assert capsys.readouterr().err == (
        "something is slow. The benchmark starts anew without OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE\n"
    )


@pytest.mark.parametrize(("core", "line"), [(None, "never asked for"), ("SkylakeX", None)])
def test_a_processor_that_is_not_held_back_goes_on(monkeypatch, core, line):
    monkeypatch.setattr(kernels, "held_back", lambda backend: line)
    monkeypatch.setattr(os, "execve", None)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if core is not None:
        monkeypatch.setenv("OPENBLAS_CORETYPE", core)
    machine.release()


# --- one commit beside another ---

TIMES = st.floats(0.001, 1000)
PAIRS = st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=15)
ALLOWED = st.sampled_from([0.03, 0.25])


def judged(pairs, allowed):
    return commits.judge([old for old, _ in pairs], [new for _, new in pairs], allowed)


@given(PAIRS, ALLOWED)
def test_the_verdict_on_pairs(pairs, allowed):
    verdict = judged(pairs, allowed)
    ratios = sorted(new / old for old, new in pairs)
    middle = ratios[(len(ratios) - 1) // 2 : len(ratios) // 2 + 1]
    assert middle[0] <= verdict.ratio <= middle[-1]
    assert verdict.slower == sum(new > old for old, new in pairs)
    # So that of seven pairs one may disagree, of fourteen two.
    disagree = len(pairs) - verdict.slower
    assert verdict.fails == (verdict.ratio > 1 + allowed and 7 * disagree <= len(pairs))


@given(PAIRS, ALLOWED, st.data())
def test_a_slower_turn_never_mends_a_verdict(pairs, allowed, data):
    slower = [(old, new * data.draw(st.floats(1, 10))) for old, new in pairs]
    assert judged(slower, allowed).fails or not judged(pairs, allowed).fails


@pytest.mark.parametrize(("number", "needed"), [(1, 1), (3, 3), (6, 6), (7, 6), (13, 12), (14, 12)])
@given(st.data(), ALLOWED)
def test_six_of_seven_have_to_agree(number, needed, data, allowed):
    old = data.draw(st.lists(TIMES, min_size=number, max_size=number))
    slower = data.draw(st.integers(0, number))
    pairs = [(time, time * (1.5 if index < slower else 0.99)) for index, time in enumerate(old)]
    assert judged(pairs, allowed).fails == (slower >= needed)


@given(st.lists(TIMES, min_size=1), ALLOWED)
def test_what_is_allowed_passes(old, allowed):
    assert not judged([(time, time * (1 + 0.99 * allowed)) for time in old], allowed).fails
    assert judged([(time, time * (1 + 1.01 * allowed)) for time in old], allowed).fails


def test_plain_descent_image_by_image_may_lose_a_quarter():
    allowed = {task: commits.allowance(task) for network in NETWORKS.values() for task in tasks.tasks(network)}
    assert {task for task, share in allowed.items() if share != 0.03} == {Task("training", 1, "sgd")}
    assert allowed[Task("training", 1, "sgd")] == 0.25


def test_only_what_both_commits_have_is_timed():
    one, two = Task("training", 1, "sgd"), Task("training", 2, "sgd")
    old = {"a": [one, two], "ab": [one], "gone, a": [one]}
    new = {"ab": [two, one], "a": [one], "new, a": [one], "b": [one]}
    rows = commits.rows_of_both(old | {"b": [one]}, new, lambda name, task: "a" in name)
    assert rows == [("ab", one), ("a", one)]


def test_two_checkouts_take_turns(run, monkeypatch, tmp_path):
    root, path = commits.ROOT, tmp_path / "figures.json"
    options = [root, root, "--pairs", "2", "--seconds", "0.001", "--threads", threads.count(), "--only", "LeNet"]
    monkeypatch.setattr(commits, "allowance", lambda task: np.inf)
    ((row,),) = tables(run(commits, *options, "--json", path).out)
    assert (row["network"], row["what"], row["batch"]) == ("LeNet-5", "training", "128")
    (figure,) = json.loads(path.read_text(encoding="utf-8"))["figures"]
    assert row["new / old"] == f"{figure['ratio']:.3f}"
    assert row["pairs slower"] == f"{figure['slower']} of 2"
    assert {side: len(turns) for side, turns in figure["turns"].items()} == {"old": 2, "new": 2}
    assert min(figure["turns"]["old"] + figure["turns"]["new"]) > 0

    # A row that looks too slow is timed again, in twice as many pairs, and only they count.
    monkeypatch.setattr(commits, "judge", lambda old, new, allowed: commits.Verdict(2.0, 2, fails=len(old) == 2))
    ((row,),) = tables(run(commits, *options).out)
    assert (row["pairs slower"], row["verdict"]) == ("2 of 4", "ok")

    monkeypatch.setattr(commits, "judge", lambda old, new, allowed: commits.Verdict(2.0, 2, fails=True))
    with pytest.raises(SystemExit, match="1 of 1 rows are too slow"):
        run(commits, *options)


def test_commits_are_checked_out_for_the_time_being(monkeypatch, tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setattr(commits, "ROOT", tmp_path)

    def git(*words):
        author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, stdout=subprocess.PIPE)

    git("init", "--quiet")
    for text in ("old", "new"):
        (tmp_path / "file").write_text(text, encoding="utf-8")
        git("add", "file")
        git("commit", "--quiet", "-m", text)
    with commits.checkout("HEAD~1") as old, commits.checkout("HEAD") as new:
        assert [(folder / "file").read_text(encoding="utf-8") for folder in (old, new)] == ["old", "new"]
    assert not old.exists()
    assert not list((tmp_path / ".git" / "worktrees").glob("*"))
    missing = "no-such-commit is neither a folder that is a checkout of xnn nor a commit: .*no-such-commit"
    with pytest.raises(SystemExit, match=missing), commits.checkout("no-such-commit"):
        pass


def test_a_worker_refuses_another_xnn(tmp_path):
    with pytest.raises(SystemExit, match="xnn is imported from"):
        commits.serve(tmp_path)


def test_a_worker_that_ends_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(SystemExit, match="has ended"), commits.worker(tmp_path):
        pass


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


def test_winograd_error_prints_its_tables(run, monkeypatch):
    monkeypatch.setattr(winograd_error, "SHAPES", ((8, 4, 4),))
    mean, largest = tables(run(winograd_error).out)
    for rows in (mean, largest):
        assert [row["result"] for row in rows] == ["y", "dx", "dweight"]
    for row in mean:
        assert 0.0 < float(row["plain"]) < float(row["Winograd, tiles of eight"]) < float(row["TF32"])


# --- small sets ---


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
