"""Nothing that ends a run too early changes how it ends: kills, failing disks, another process."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tests.runs.full_disk import fill_disk
from tests.runs.rows import quick
from tests.training.small import StopAt
from xnn.errors import RunError
from xnn.files import Folder
from xnn.runs import checkpoints, lock, resuming
from xnn.runs.directory import RunDirectory, StoppedAtOnce
from xnn.runs.run import resume, train
from xnn.training import Callback

pytestmark = pytest.mark.usefixtures("undrawn")

ROOT = Path(__file__).parents[2]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "XNN_NUM_THREADS": "1"}

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def disturb(folder, harm, what="mlp"):
    """Strike runs of a kind at 40 moments, or at 1000 when there is time, and return which they were."""
    blows = 1000 if settings.default.max_examples >= 1000 else 40
    program = [sys.executable, "-m", "tests.runs.survival", str(folder), what, harm, "0", str(blows)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XNN_")} | ONE_THREAD
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    struck = json.loads(done.stdout.splitlines()[-1])
    assert len(struck) >= blows
    return {re.sub(r"\d{5,8}\.safe", "N.safe", re.sub(r"[0-9a-f]{16}\.tmp$", "", event)) for event in struck}


AT_LEAST = {
    *("mkdir .", "open .lock", "write .config.json.", "replace .config.json."),
    *("write checkpoints/.step-N.safetensors.", "fsync checkpoints/.step-N.safetensors."),
    *("replace checkpoints/.step-N.safetensors.", "unlink checkpoints/step-N.safetensors"),
    *("write checkpoints/.epoch-N.safetensors.", "write intervals.jsonl", "write metrics.jsonl"),
    *("write .model.safetensors.", "replace .model.safetensors.", "fsync .result.json.", "replace .result.json."),
}


@forks
@pytest.mark.parametrize("what", ["mlp", "speed"])
def test_a_run_that_is_killed_at_any_moment_ends_as_an_undisturbed_one(tmp_path, what):
    assert disturb(tmp_path, "kill", what) >= AT_LEAST | {"step "}


@forks
def test_a_run_whose_disk_fails_says_so_and_ends_as_an_undisturbed_one(tmp_path):
    assert disturb(tmp_path, "fail") >= AT_LEAST


class Do(Callback):
    """Does something at the first interval after a step."""

    def __init__(self, step, action):
        self.step = step
        self.action = action

    def interval(self, trainer, row):
        if row["step"] >= self.step:
            self.action()


def test_a_second_run_in_one_directory_is_refused(tmp_path):
    refused = []

    def intrude():
        with pytest.raises(RunError, match="another process is training there; wait until it ends, or stop") as caught:
            resume(tmp_path / "run")
        refused.append(str(caught.value))

    train(quick(tmp_path / "run", epochs=1), callbacks=[Do(15, intrude)])
    assert len(refused) == 2
    assert all("\n" not in line and line.startswith("--resume ") for line in refused)
    resume(tmp_path / "run", epochs=2)


def test_two_new_runs_cannot_begin_in_one_directory(tmp_path):
    tmp_path.joinpath("run").mkdir()
    busy = pytest.raises(RunError, match=r"--run-dir .*another process is training there")
    with Folder(tmp_path / "run") as folder, lock.locked(folder), busy:
        train(quick(tmp_path / "run"))


def test_a_directory_used_between_the_first_look_and_the_lock_is_refused(tmp_path, monkeypatch):
    """By a run that is over by then."""
    path = tmp_path / "run"
    looks = []

    def look(path):
        looks.append(path)
        if len(looks) == 3:
            raise RunError("is not empty")

    monkeypatch.setattr(RunDirectory, "check_unused", look)
    with pytest.raises(RunError, match="is not empty"):
        train(quick(path))
    assert not (path / "config.json").exists()


def test_the_lock_is_free_again_after_an_error(tmp_path):
    with Folder(tmp_path) as folder:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError), lock.locked(folder):
                raise ZeroDivisionError
        with lock.locked(folder), pytest.raises(lock.Held), lock.locked(folder):
            raise AssertionError("locked twice")


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_does_without(tmp_path, monkeypatch, code):
    monkeypatch.setattr(lock, "_lock", failing(code))
    assert train(quick(tmp_path / "run", epochs=1)).values is not None


def test_a_lock_that_fails_otherwise_is_an_error(tmp_path, monkeypatch):
    train(quick(tmp_path / "run", epochs=1))
    monkeypatch.setattr(lock, "_lock", failing(errno.EIO))
    with pytest.raises(RunError, match=r"--resume .*run: cannot be used: Input/output error"):
        resume(tmp_path / "run", epochs=2)


def failing(code):
    def fail(*arguments, **options):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_directory_is_refused(tmp_path):
    train(quick(tmp_path / "run"), callbacks=[StopAt(30)])
    (tmp_path / "run" / "checkpoints").chmod(0o500)
    (tmp_path / "run").chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        resume(tmp_path / "run")


def test_what_a_killed_start_left_is_no_obstacle(tmp_path):
    (tmp_path / ".lock").write_bytes(b"")
    (tmp_path / ".config.json.123.tmp").write_bytes(b"torn")
    assert train(quick(tmp_path, epochs=1)).values is not None
    assert not list(tmp_path.glob("*.tmp"))


def test_a_prolonged_run_that_is_killed_is_not_taken_for_complete(tmp_path):
    train(quick(tmp_path / "run", epochs=1))

    def kill():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        resume(tmp_path / "run", epochs=3, callbacks=[Do(30, kill)])
    assert resume(tmp_path / "run").values["epochs"] == 3


@pytest.mark.parametrize("stop", [10, 46], ids=["training", "the last checkpoint"])
def test_what_stops_a_run_at_once_says_where_to_go_on(tmp_path, stop):
    class Interrupt(Callback):
        def step_end(self, trainer):
            if trainer.step == stop:
                raise KeyboardInterrupt

    with pytest.raises(StoppedAtOnce) as caught:
        train(quick(tmp_path / "run"), callbacks=[Interrupt()])
    assert caught.value.directory == tmp_path / "run"
    assert resume(caught.value.directory).values["epochs"] == 2


def test_a_disk_that_is_full_says_how_to_go_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail = Do(20, lambda: fill_disk(patch))
        with pytest.raises(RunError, match=r"No space left on device; once that is fixed, go on with --resume .*run$"):
            train(quick(tmp_path / "run"), callbacks=[fail])
    assert resume(tmp_path / "run").values["epochs"] == 2


def test_going_on_with_the_same_promises_the_same(tmp_path):
    train(quick(tmp_path / "run"), callbacks=[StopAt(30)])
    said = []
    resume(tmp_path / "run", warn=said.append, keep=1, checkpoint_every="7")
    assert said == []
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize("old", ["float32", "float64"])
def test_another_dtype_can_go_on_and_says_what_it_cannot_promise(tmp_path, old):
    new = {"float32": "float64", "float64": "float32"}[old]
    whole = train(quick(tmp_path / "whole", dtype=old, average=0.9))
    train(quick(tmp_path / "run", dtype=old, average=0.9), callbacks=[StopAt(30)])
    said = []
    assert resume(tmp_path / "run", warn=said.append, dtype=new, callbacks=[StopAt(35)]).values is None
    assert said == [
        f"goes on with dtype {new}, not {old}: nothing is lost, but the results will not match those of an "
        "uninterrupted run digit for digit"
    ]
    second = resume(tmp_path / "run", warn=said.append)
    assert len(said) == 1
    assert second.model.dtype == new
    assert second.values["final_train_loss"] == pytest.approx(whole.values["final_train_loss"], rel=1e-3)


def test_only_numbers_of_the_old_dtype_are_rounded(tmp_path):
    arrays = {"w": np.array([1 / 3, 1e300]), "n": np.array([2**53 + 1])}
    saved = resuming.in_dtype(checkpoints.Saved(tmp_path, arrays, {"dtype": "float64", "step": 3}), "float32")
    assert saved.info == {"dtype": "float32", "step": 3}
    assert saved.arrays["w"].tolist() == [float(np.float32(1 / 3)), np.inf]
    assert saved.arrays["n"] is arrays["n"]
    assert resuming.in_dtype(saved, "float32") is saved


def test_another_backend_says_what_it_cannot_promise(tmp_path):
    pytest.importorskip("torch")
    train(quick(tmp_path / "run"), callbacks=[StopAt(30)])
    said = []
    resume(tmp_path / "run", backend="torch:cpu", warn=said.append)
    assert len(said) == 1
    assert said[0].startswith("goes on with backend torch:cpu, not numpy: nothing is lost, but")


def test_other_versions_and_threads_are_named(tmp_path, monkeypatch):
    train(quick(tmp_path / "run"), callbacks=[StopAt(30)])
    monkeypatch.setattr("xnn.runs.resuming.__version__", "99")
    monkeypatch.setattr("xnn.kernels.threads.count", lambda: 77)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = []
    resume(tmp_path / "run", report=said.append)
    (line,) = (line for line in said if "nothing is lost" in line)
    assert re.match(
        r"goes on with threads 77, not \d+, xnn 99, not [\d.]+\w*(, compiled kernels none, not by numba [\d.]+)?:", line
    )
