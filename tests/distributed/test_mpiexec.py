"""The command under a real mpiexec: what a user sees, and what is left when ranks are stopped or die."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distributed.threads import worlds
from xnn.cli.train import main
from xnn.runs import checkpoints
from xnn.runs.run import resume

pytest.importorskip("mpi4py", reason="mpi4py is not installed")

MPIEXEC = next(
    filter(None, (shutil.which("mpiexec", path=str(Path(sys.executable).parent)), shutil.which("mpiexec"))), ""
)
pytestmark = [
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.skipif(not MPIEXEC, reason="there is no mpiexec"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="ranks are found by /proc"),
]
RUN = ["--model", "mlp", "--hidden", "4", "--batch-size", "100", "--backend", "numpy", "--checkpoint-every", "4"]
LONG = [*RUN, "--epochs", "2000", "--log-every", "10"]
END = 10.0
"""Seconds in which all end when one does."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """To load Numba takes each process longer than all its training."""
    monkeypatch.setenv("XNN_TWINS", "0")


def command(ranks, *arguments):
    return [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "xnn.cli.train", *arguments]


def environment(**more):
    return os.environ | {"XNN_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | more


def ran(ranks, *arguments, **more):
    return subprocess.run(
        command(ranks, *arguments), env=environment(**more), capture_output=True, text=True, timeout=120
    )


@contextlib.contextmanager
def running(ranks, *arguments):
    """Yield a run that is in its second epoch, and the ids of its ranks' processes."""
    process = subprocess.Popen(
        command(ranks, *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        for line in process.stdout:
            if line.startswith("epoch "):
                break
        yield process, ids_of(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ids_of(process):
    """The processes of its ranks: those below it that run Python, by the ranks that their environments name."""
    parents = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = {}
    for pid in parents:
        above = pid
        while above in parents and above != process.pid:
            above = parents[above]
        if above == process.pid:
            rank = re.search(r"(?:PMI_RANK|OMPI_COMM_WORLD_RANK)=(\d+)", Path(f"/proc/{pid}/environ").read_text())
            if rank:
                found[int(rank[1])] = pid
    return found


def rows(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    left_out = ("seconds", "images_per_second")
    return [{name: value for name, value in json.loads(line).items() if name not in left_out} for line in lines]


def test_two_ranks_train_as_one_process(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("XNN_TWINS")
    ended = ran(2, *RUN, "--epochs", "2", "--run-dir", str(tmp_path / "2"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert ended.stdout.count("results are in") == 1
    assert "2 ranks on 1 host, with 1 thread each" in ended.stdout
    assert main([*RUN, "--epochs", "2", "--run-dir", str(tmp_path / "1")]) == 0
    assert " ranks on " not in capsys.readouterr().out
    for row, other in zip(rows(tmp_path / "2"), rows(tmp_path / "1"), strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert row["test_loss"] == pytest.approx(other["test_loss"], rel=1e-4)


def test_ranks_one_trains_single_runs(tmp_path):
    ended = ran(2, *RUN, "--epochs", "1", "--ranks", "1", "--run-dir", str(tmp_path / "run"))
    # Both want the directory, and one gets it.
    assert ended.stdout.count("results go to") == 1
    assert "xnn-train: error: --run-dir" in ended.stderr


def test_without_mpi4py_there_is_one_line(tmp_path):
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = ran(2, *RUN, PYTHONPATH=path)
    assert ended.returncode == 2
    errors = [line for line in ended.stderr.splitlines() if line.startswith("xnn-train")]
    assert errors == [
        "xnn-train: error: several processes need mpi4py and an MPI (not here): pip install '.[mpi]' in a clone "
        "of xnn, or --ranks 1"
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_one_rank_saves_and_stops_all(tmp_path, number, code):
    with running(2, *LONG, "--run-dir", str(tmp_path / "run")) as (process, ids):
        os.kill(ids[1], number)
        out, error = process.communicate(timeout=END)
    assert process.returncode == code
    assert out.count("stopped and saved; go on with: xnn-train --resume") == 1
    assert "error" not in error
    saved, damaged = checkpoints.newest_valid(tmp_path / "run" / "checkpoints")
    assert not damaged
    assert saved.info["batch"] or saved.info["epoch"] == len(rows(tmp_path / "run"))


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_rank_ends_the_job_and_it_goes_on_with_any_number(tmp_path, killed):
    several, alone = tmp_path / "several", tmp_path / "alone"
    with running(2, *LONG, "--run-dir", str(several)) as (process, ids):
        os.kill(ids[killed], signal.SIGKILL)
        process.communicate(timeout=END)
    assert process.returncode
    saved, damaged = checkpoints.newest_valid(several / "checkpoints")
    assert not damaged
    epochs = saved.info["epoch"] + 1
    shutil.copytree(several, alone)
    if killed == 0:
        worlds(2, lambda world: resume(several, world=world, epochs=epochs))
    else:
        ended = ran(3, "--resume", str(several), "--epochs", str(epochs))
        assert ended.returncode == 0, ended.stderr
    resume(alone, epochs=epochs)
    for run in (several, alone):
        assert [row["epoch"] for row in rows(run)] == list(range(1, epochs + 1))
    assert rows(several)[-1]["train_loss"] == pytest.approx(rows(alone)[-1]["train_loss"], abs=1e-3)


def test_an_error_of_one_rank_ends_all(tmp_path):
    """Somebody deletes the run's directory, which only the first rank notices."""
    with running(2, *LONG, "--run-dir", str(tmp_path / "run")) as (process, _):
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        _, error = process.communicate(timeout=END)
    assert process.returncode == 1
    assert error.count("xnn-train: error: ") == 1
    assert str(tmp_path / "run") in error


def test_an_error_of_all_is_told_once(tmp_path):
    ended = ran(3, *RUN, "--lr", "1e30", "--run-dir", str(tmp_path / "run"))
    assert ended.returncode == 3
    assert re.fullmatch(r"xnn-train: error: the training loss became [^\n]*\n", ended.stderr)


def test_ranks_with_different_seeds_are_refused(tmp_path):
    alike = command(1, *RUN, "--run-dir", str(tmp_path / "run"))
    ended = subprocess.run(
        [*alike, ":", *alike[1:], "--seed", "1"], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "xnn-train: error: all ranks must be started alike: rank 1 has --seed 1, rank 0 has 0"
    )
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
