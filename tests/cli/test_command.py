"""``xnn-train`` as a person uses it: what it prints, its exit codes, its signals."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.cli.commands import CODES, refusal_by
from tests.data.small_files import write_idx, write_mnist
from tests.runs.rows import rows_of
from tests.training.small import without_times
from tests.trouble import failing
from xnn.cli.train import main
from xnn.data.mnist import FILES
from xnn.errors import FolderGone
from xnn.runs.directory import METRICS, RunDirectory

QUICK = ["--model", "mlp", "--hidden", "8", "--epochs", "2", "--batch-size", "64", "--backend", "numpy"]
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
LONG = [*QUICK[:4], "--batch-size", "2", "--epochs", "4", "--backend", "numpy", "--log-every", "10"]
"""718 steps an epoch."""
HALF = [*LONG, "--validation", "717"]
"""360 steps an epoch."""

assert_refused = refusal_by(main)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, with a cache of its own."""
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("XNN_BACKEND", raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


# Of settings one of each kind; tests/runs/test_settings.py has them all.
BAD_ARGUMENTS = {
    "unknown data set": (["--dataset", "cifar"], "'cifar'", "Did you mean 'cifar10'?"),
    "unknown model": (["--model", "lab"], "--model lab", "Did you mean 'lab6'?"),
    "unknown backend": (["--backend", "cuppy"], "'cuppy'", "Did you mean 'cupy'?"),
    "unknown strict device": (["--backend", "array_api_strict:device9"], "device9"),
    "unknown flag": (["--epoch", "3"], "--epoch", "Did you mean '--epochs'?"),
    "unknown flag like no other": (["--zzzzzz"], "--zzzzzz", "See xnn-train --help"),
    "unknown flag with a value": (["--learning-rate=3"], "--learning-rate"),
    "no flag": (["digits"], "'digits'"),
    "flag without a value": (["--lr"], "--lr"),
    "value for a switch": (["--quiet=yes"], "--quiet"),
    "negative epochs": (["--epochs", "-3"], "--epochs -3", "1 or more"),
    "half an epoch": (["--epochs", "0.5"], "--epochs 0.5", "a whole number"),
    "learning rate is not a number": (["--lr", "nan"], "--lr nan"),
    "learning rate in words": (["--lr", "fast"], "--lr fast", "a number"),
    "unknown optimizer": (["--optimizer", "adamm"], "--optimizer adamm", "Did you mean 'adam'?"),
    "unknown augmentation": (["--augment", "flip,crp"], "crp", "Did you mean 'crop'?"),
    "unknown labels": (["--dataset", "cifar100", "--labels", "corse"], "corse", "Did you mean 'coarse'?"),
    "labels that are not there": (["--labels", "coarse"], "coarse", "digits"),
    "too large a validation set": (["--validation", "1437"], "1437"),
    "checkpoints at no time": (["--checkpoint-every", "soon"], "--checkpoint-every soon", "500", "10m"),
    "early stopping on the test set": (["--early-stopping", "3"], "--early-stopping 3", "--validation"),
    "endless warm-up": (["--warmup", "99"], "--warmup 99"),
    "missing data directory": (["--dataset", "mnist", "--data-dir", "nowhere"], "nowhere", "does not exist"),
    "data directory without the data": (["--dataset", "mnist", "--data-dir", "."], "does not hold mnist"),
    "name with a line's end": (["--dataset", "a\nb"], "a"),
    "resume from nothing": (["--resume", "nowhere"], "--resume nowhere", "no such folder"),
    "resume from an empty folder": (["--resume", "."], "no config.json"),
    "resume from too long a name": (["--resume", "x" * 300], "--resume xxx", "File name too long"),
    "too long a run directory": (["--run-dir", "x" * 300], "--run-dir xxx", "File name too long"),
    "resume with other settings": (["--resume", "nowhere", "--lr", "3"], "--lr", "keeps its settings"),
    "summary of a resumed run": (["--resume", "nowhere", "--summary"], "--summary"),
    "learning rate of a resumed run": (["--resume", "nowhere", "--find-lr"], "--find-lr: not together with --resume"),
    "picture in no folder": (["--find-lr", "nowhere/a.png"], "--find-lr nowhere/a.png", "no folder nowhere"),
    "warming up for a resumed run": (["--resume", "nowhere", "--warm-up"], "--warm-up", "not together with --resume"),
}


@pytest.mark.parametrize(
    ("arguments", "words"), [(case[0], case[1:]) for case in BAD_ARGUMENTS.values()], ids=BAD_ARGUMENTS
)
def test_bad_arguments_are_one_clear_line_and_leave_nothing(here, capsys, arguments, words):
    assert_refused(capsys, arguments, *words)
    assert list(here.iterdir()) == []


def test_cupy_without_a_device_is_an_error_that_says_so(here, capsys, monkeypatch):
    """Never another backend instead."""
    monkeypatch.setattr("xnn.backends.cupy._cuda_devices", lambda cupy: (0, ""))
    assert_refused(capsys, ["--backend", "cupy:7"], "cupy")
    assert list(here.iterdir()) == []


BAD_FILES = {
    "truncated gzip": (0, lambda path: path.write_bytes(path.read_bytes()[:-20]), "train-images"),
    "not gzip": (0, lambda path: path.write_bytes(b"hello"), "train-images"),
    "counts that differ": (1, lambda path: write_idx(path, np.zeros(11, np.uint8)), "11"),
    "label out of range": (3, lambda path: write_idx(path, np.array([0, 1, 10], np.uint8)), "10"),
    "empty file": (2, lambda path: path.write_bytes(b""), "t10k-images"),
}


@pytest.mark.parametrize(("number", "spoil", "word"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files_are_one_clear_line_and_leave_nothing(here, tmp_path, capsys, number, spoil, word):
    write_mnist(tmp_path / "mnist")
    spoil(tmp_path / "mnist" / f"{FILES[number]}.gz")
    assert_refused(capsys, ["--dataset", "mnist", "--data-dir", str(tmp_path / "mnist")], word)
    assert list(here.iterdir()) == []


def test_sound_files_of_the_same_kind_are_trained_on(here, tmp_path):
    write_mnist(tmp_path / "mnist")
    assert main([*QUICK, "--dataset", "mnist", "--data-dir", str(tmp_path / "mnist"), "--quiet"]) == 0


def test_a_used_run_directory_is_refused_and_left_alone(here, capsys):
    (here / "note").write_text("mine")
    assert_refused(capsys, [*QUICK, "--run-dir", "."], "--run-dir .", "is not empty")
    assert_refused(capsys, [*QUICK, "--run-dir", "note"], "a file of that name")
    assert_refused(capsys, [*QUICK, "--run-dir", "note/run"], "cannot be made")
    assert [path.name for path in here.iterdir()] == ["note"]


@pytest.mark.parametrize("backend", ["numpy", "torch:cpu"])
def test_too_large_a_model_is_one_clear_line(here, capsys, backend):
    pytest.importorskip(backend.partition(":")[0])
    assert_refused(capsys, ["--model", "mlp", "--hidden", "1000000", "--backend", backend], "out of memory")
    assert list(here.iterdir()) == []


def test_a_fault_in_the_program_is_not_called_bad_input(here, monkeypatch):
    monkeypatch.setattr("xnn.runs.run.prepare", failing(RuntimeError("a fault")))
    with pytest.raises(RuntimeError, match="a fault"):
        main(QUICK)


def test_plain_lines_where_there_is_no_terminal(here, capsys):
    assert main([*QUICK, "--run-dir", "run"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    # A machine's first tests compile.
    lines = [line for line in captured.out.splitlines() if not line.startswith("compil")]
    assert "\x1b" not in captured.out
    assert re.match(r"digits: 1437 training and 360 test images of 8x8x1", lines[0])
    assert re.match(r"mlp: 698 parameters, adamw, step size 0.002, batches of 64, on numpy .* on the CPU", lines[1])
    assert lines[2] == "results go to run"
    epoch = (
        r"epoch {}/2: train loss \d\.\d{{4}}, accuracy [\d.]+ %; test loss \d\.\d{{4}}, accuracy [\d.]+ %; "
        r"\d+\.\d s, [\d,]+ images/s"
    )
    assert re.fullmatch(epoch.format(1), lines[3])
    assert re.fullmatch(epoch.format(2), lines[4])
    table = [re.split(r"\s{2,}", line.strip()) for line in lines[5:-1]]
    result = json.loads((here / "run" / "result.json").read_text())
    assert dict(table) == {
        "data set": "digits",
        "model": "mlp",
        "epochs": "2",
        "step size": "0.002",
        "final training loss": f"{result['final_train_loss']:.4f}",
        "test accuracy": f"{100 * result['test_accuracy']:.2f} %",
        "parameters": "698",
        "seconds": f"{result['seconds']:.1f}",
    }
    assert lines[-1] == "results are in run"


def test_quiet_prints_nothing(here, capsys):
    assert main([*QUICK, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    (run,) = (here / "runs").iterdir()
    assert re.fullmatch(r"digits-mlp-\d{8}-\d{6}", run.name)
    assert (run / "result.json").exists()


def test_quiet_still_names_a_damaged_checkpoint(here, capsys):
    assert main([*QUICK, "--quiet", "--run-dir", "run"]) == 0
    newest = here / "run" / "checkpoints" / "epoch-00002.safetensors"
    newest.write_bytes(newest.read_bytes()[:-5])
    assert main(["--resume", "run", "--quiet", "--epochs", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"xnn-train: passed over: .*epoch-00002\.safetensors is damaged: .*\n", captured.err)


def test_auto_says_which_backend_it_took(here, capsys, monkeypatch):
    monkeypatch.setattr("xnn.backends.selection.cuda_answers", lambda: False)
    assert main([*QUICK, "--backend", "auto"]) == 0
    assert "on numpy " in capsys.readouterr().out


@pytest.mark.parametrize(("given", "picture"), [([], "lr.png"), (["rates.png"], "rates.png"), (["."], "lr.png")])
def test_a_learning_rate_is_found_and_only_the_picture_written(here, capsys, given, picture):
    assert main([*QUICK, "--find-lr", *given]) == 0
    out = capsys.readouterr().out
    assert 1e-5 < float(re.search(r"^--lr (\S+): a tenth of the learning rate", out, re.MULTILINE)[1]) < 1
    assert out.endswith(f"the losses are drawn in {picture}\n")
    assert [path.name for path in here.iterdir()] == [picture]
    assert (here / picture).read_bytes().startswith(b"\x89PNG")


def test_summary_shows_the_layers_and_writes_nothing(here, capsys):
    assert main(["--summary"]) == 0
    shown = capsys.readouterr().out
    assert "Conv2d" in shown
    assert "parameters" in shown
    assert list(here.iterdir()) == []


def test_warming_up_compiles_all_that_the_run_needs_and_writes_nothing_else(here, tmp_path):
    pytest.importorskip("numba")
    variables = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels"), "XNN_NUM_THREADS": "1", "XNN_TWINS": "1"}
    arguments = ["--model", "mlp", "--hidden", "8", "--epochs", "2", "--backend", "numpy"]
    out, error = start(here, *arguments, "--warm-up", **variables).communicate(timeout=120)
    assert error == ""
    _, compiling, compiled = out.splitlines()
    assert compiling == "compiling the kernels that this run needs (once) ..."
    assert re.fullmatch(r"compiled .*normalization.* in \d+\.\d s; later runs find them in a cache", compiled)
    assert list(here.iterdir()) == []
    out, error = start(here, *arguments, "--run-dir", "run", **variables).communicate(timeout=120)
    assert (error, out.splitlines()[-1]) == ("", "results are in run")
    assert "compil" not in out
    out, error = start(here, *arguments, "--warm-up", **variables).communicate(timeout=120)
    assert (error, out.splitlines()[-1]) == ("", "there is nothing left to compile")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_go_to_stdout(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    shown = capsys.readouterr().out
    if arguments == ["--version"]:
        assert re.fullmatch(r"xnn \d+\.\d+\.\d+\n", shown)
    else:
        titles = [line[:-1] for line in shown.splitlines() if re.fullmatch(r"\w[^\n]*:", line)]
        assert [title.partition(" (")[0] for title in titles] == ["options", "data", "model", "training", "muon", "run"]
        assert len(shown.splitlines()) <= 140


def test_divergence_is_one_line_and_its_own_exit_code(here, capsys):
    arguments = [*QUICK, "--optimizer", "sgd", "--lr", "1e38", "--run-dir", "run"]
    assert main(arguments) == 3
    error = capsys.readouterr().err
    assert re.fullmatch(r"xnn-train: error: .* became (nan|inf).* in epoch \d+, step \d+: try a lower --lr .*\n", error)
    assert not (here / "run" / "result.json").exists()


def test_same_losses_on_every_backend(here, backend):
    """The first 20 steps in float64, from the same command."""
    losses = {}
    for name in {"numpy", backend.name}:
        command = ["--model", "cnn", "--hidden", "3", "--batch-size", "16", "--validation", "1117", "--epochs", "1"]
        more = ["--dtype", "float64", "--log-every", "1", "--quiet", "--augment", "flip,crop,cutout"]
        assert main([*command, *more, "--backend", name, "--run-dir", name.replace(":", "-")]) == 0
        rows = rows_of(here / name.replace(":", "-") / "intervals.jsonl")
        losses[name] = [row["minibatch_loss"] for row in rows]
    assert len(losses["numpy"]) == 20
    np.testing.assert_allclose(losses[backend.name], losses["numpy"], rtol=1e-5)


def start(here, *arguments, **variables):
    """The command in a process of its own, by default without twins: to load Numba takes longer than to train."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "XNN_TWINS": "0"} | variables
    command = [sys.executable, "-m", "xnn.cli.train", *arguments]
    return subprocess.Popen(command, cwd=here, env=environment, text=True, **PIPES)


def wait_for(path, lines):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.01)
    raise TimeoutError(f"{path} did not get {lines} lines")


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_a_signal_saves_and_the_run_goes_on_to_the_same_end(here, number, code):
    """It comes somewhere inside the second epoch."""
    twins = {"XNN_TWINS": str(int(number == signal.SIGINT))}
    process = start(here, *HALF, "--run-dir", "stopped", **twins)
    wait_for(here / "stopped" / "intervals.jsonl", 45)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    assert error == ""
    assert out.splitlines()[-1] == "stopped and saved; go on with: xnn-train --resume stopped"
    assert any(path.name.startswith("step-") for path in (here / "stopped" / "checkpoints").iterdir())
    if number != signal.SIGINT:
        return
    process = start(here, "--resume", "stopped", **twins)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "goes on after epoch" in out
    whole = start(here, *HALF, "--run-dir", "whole", "--quiet", **twins)
    assert whole.communicate(timeout=60) == ("", "")
    for name in ("model.safetensors", "intervals.jsonl"):
        assert (here / "stopped" / name).read_bytes() == (here / "whole" / name).read_bytes()
    rows, expected = (rows_of(here / name / "metrics.jsonl") for name in ("stopped", "whole"))
    assert without_times(rows) == without_times(expected)
    assert list(expected[0])[: len(METRICS)] == list(METRICS)


def test_a_second_process_is_refused_until_the_first_is_killed(here, capsys):
    process = start(here, *LONG, "--checkpoint-every", "100", "--run-dir", "run")
    try:
        wait_for(here / "run" / "intervals.jsonl", 25)
        assert_refused(capsys, ["--resume", "run"], "--resume run: another process is training there")
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert main(["--resume", "run", "--epochs", "1", "--checkpoint-every", "0"]) == 0
    captured = capsys.readouterr()
    batch = re.search(r"^goes on after epoch 0, batch (\d+)$", captured.out, re.MULTILINE)
    assert batch, captured.out
    assert int(batch[1]) >= 200
    assert int(batch[1]) % 100 == 0
    assert len(rows_of(here / "run" / "intervals.jsonl")) == 71


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_a_signal_while_the_results_are_written_says_how_to_go_on(here, capsys, monkeypatch, number, code):
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_result", lambda *arguments, **options: os.kill(os.getpid(), number))
        assert main([*QUICK, "--run-dir", "a run"]) == code
    error = capsys.readouterr().err
    assert error == "xnn-train: error: stopped immediately; go on with: xnn-train --resume 'a run'\n"
    assert main(["--resume", "a run"]) == 0
    assert (here / "a run" / "result.json").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_nohup_trains_to_the_end(here):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(here, *HALF, "--run-dir", "run")
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for(here / "run" / "intervals.jsonl", 5)
    process.send_signal(signal.SIGHUP)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error, out.splitlines()[-1]) == (0, "", "results are in run")


@pytest.mark.parametrize("more", [[], ["--epochs", "2"], ["--quiet"]], ids=" ".join)
def test_a_complete_run_says_so_in_a_line(here, capsys, more):
    assert main([*QUICK, "--run-dir", "run", "--quiet"]) == 0
    assert main(["--resume", "run", *more]) == 0
    line = "" if "--quiet" in more else "the run in run is complete after 2 epochs; give --epochs 3 or more to go on\n"
    assert capsys.readouterr() == (line, "")
    assert_refused(capsys, ["--resume", "run", "--epochs", "1"], "--epochs 1: the run is complete after 2;")


def test_a_picture_that_fails_is_a_line_and_the_run_is_complete(here, capsys, monkeypatch):
    monkeypatch.setattr("xnn.runs.curves.draw", lambda *arguments, **options: 1 / 0)
    assert main([*QUICK, "--run-dir", "run", "--quiet"]) == 0
    error = "xnn-train: no curves.png: ZeroDivisionError: division by zero; the run is complete without it\n"
    assert capsys.readouterr() == ("", error)
    assert (here / "run" / "result.json").exists()


def test_a_notebooks_backend_does_not_cost_the_picture(here):
    process = start(here, *QUICK, "--run-dir", "run", MPLBACKEND="module://matplotlib_inline.backend_inline")
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert (here / "run" / "curves.png").exists()


def test_a_run_directory_that_is_gone_is_a_line_and_a_code_of_its_own(here, capsys, monkeypatch):
    monkeypatch.setattr(RunDirectory, "write_result", failing(FolderGone("the folder run was deleted")))
    assert main([*QUICK, "--run-dir", "run", "--quiet"]) == 1
    assert capsys.readouterr().err == "xnn-train: error: the folder run was deleted\n"


def test_a_name_that_the_terminals_encoding_has_not_is_no_obstacle(here, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    assert main([*QUICK, "--run-dir", "caf\u00e9"]) == 0
    assert out.buffer.getvalue().decode("ascii").splitlines()[-1] == "results are in caf?"


def test_a_terminal_of_no_width_is_none(here, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    assert main([*QUICK, "--run-dir", "run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "results are in run"
