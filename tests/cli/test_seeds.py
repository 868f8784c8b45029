"""``--seeds``: single runs, several at once, and what they come to."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.commands import refusal_by
from xnn.cli.arguments import parse
from xnn.cli.train import main
from xnn.errors import SettingError

SMALL = ["--model", "mlp", "--hidden", "4", "--backend", "numpy", "--threads", "1", "--batch-size", "200"]
assert_refused = refusal_by(main)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """To load Numba takes each process longer than all its training."""
    monkeypatch.setenv("XNN_TWINS", "0")


@given(ranges=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), min_size=1, max_size=4))
def test_seeds_are_ranges_and_numbers(ranges):
    text = ",".join(f"{first}-{first + more}" if more else str(first) for first, more in ranges)
    wanted = [seed for first, more in ranges for seed in range(first, first + more + 1)]
    if len(set(wanted)) == len(wanted):
        assert parse(["--seeds", text]).seeds == tuple(wanted)
    else:
        with pytest.raises(SettingError, match="different seeds"):
            parse(["--seeds", text])


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,,2", "-1", "0-1000", "0-999999999", "1.5"])
def test_other_texts_are_refused(capsys, text):
    assert_refused(capsys, [f"--seeds={text}"], "--seeds", "0-4")


@pytest.mark.parametrize("more", [["--seed", "1"], ["--resume", "x"], ["--summary"], ["--find-lr"], ["--warm-up"]])
def test_what_does_not_go_with_them_is_refused(capsys, more):
    assert_refused(capsys, ["--seeds", "0-1", *more], more[0], "--seeds")


def test_each_seed_is_a_run_of_its_own(tmp_path, capsys):
    assert main([*SMALL, "--epochs", "1", "--seeds", "3,1", "--run-dir", str(tmp_path / "both")]) == 0
    out, error = capsys.readouterr()
    assert not error
    results = [json.loads((tmp_path / "both" / f"seed-{seed}" / "result.json").read_text()) for seed in (3, 1)]
    assert [result["seed"] for result in results] == [3, 1]
    accuracies = [100 * result["test_accuracy"] for result in results]
    rows = [re.findall(r"[\w.]+", line)[:2] for line in out.splitlines() if line.startswith("│")]
    expected = {"3": accuracies[0], "1": accuracies[1], "mean": statistics.fmean(accuracies)}
    assert [name for name, _ in rows] == [*expected, "std"]
    for name, value in rows:
        assert float(value) == pytest.approx({**expected, "std": statistics.stdev(accuracies)}[name], abs=0.006)
    assert main([*SMALL, "--epochs", "1", "--seed", "1", "--run-dir", str(tmp_path / "alone")]) == 0
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("alone", "both/seed-1")]
    assert weights[0] == weights[1]
    # The same command finds one complete, and other settings are refused.
    assert main([*SMALL, "--epochs", "1", "--seeds", "1", "--run-dir", str(tmp_path / "both")]) == 0
    assert capsys.readouterr().out.count("was complete already") == 1
    assert_refused(
        capsys, [*SMALL, "--lr", "9", "--seeds", "1", "--run-dir", str(tmp_path / "both")], "--lr 9", "seed-1"
    )


def test_the_seed_of_a_file_gives_way(tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text('{"model": "mlp", "hidden": 4, "epochs": 1, "seed": 7}')
    command = ["--config", str(config), *SMALL[4:], "--seeds", "1", "--run-dir", str(tmp_path / "runs")]
    for _ in range(2):  # begun, and found complete
        assert main(command) == 0, capsys.readouterr().err
    assert "was complete already" in capsys.readouterr().out
    assert json.loads((tmp_path / "runs" / "seed-1" / "config.json").read_text())["seed"] == 1


def test_a_run_that_fails_is_named_and_the_others_count(tmp_path, capsys):
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / "mine").write_text("")
    assert main([*SMALL, "--epochs", "1", "--seeds", "0,1", "--run-dir", str(tmp_path)]) == 2
    out, error = capsys.readouterr()
    assert "seed 0: error: --run-dir" in error
    assert "not complete: seed 0" in error
    assert "│    1 │" in out


def test_runs_train_alone_even_below_mpiexec(tmp_path, capsys, monkeypatch):
    """A child has the environment of a rank, but is none."""
    for name, value in {"PMI_SIZE": "2", "PMI_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    for epochs in ("1", "2"):  # begun, and gone on
        begun = [*SMALL, "--epochs", epochs, "--ranks", "1", "--seeds", "0", "--run-dir", str(tmp_path)]
        assert main(begun) == 0, capsys.readouterr().err
    out, error = capsys.readouterr()
    assert not error
    assert out.count("results are in") == 2


def test_how_a_run_died_is_told(tmp_path, capsys, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import os; os.write(2, b'epoch of dying: no such luck\\n'); os._exit(1)"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert main([*SMALL, "--epochs", "1", "--seeds", "0", "--run-dir", str(tmp_path / "runs")]) == 1
    error = capsys.readouterr().err
    assert "xnn-train: seed 0: epoch of dying: no such luck\n" in error
    assert "not complete: seed 0" in error


@pytest.mark.skipif(os.name == "nt", reason="this system has no SIGTERM to catch")
def test_a_signal_stops_all_and_the_same_command_goes_on(tmp_path):
    command = [sys.executable, "-m", "xnn.cli.train", *SMALL, "--seeds", "0,1", "--run-dir", str(tmp_path)]
    # One at a time, whatever the number of cores: the second has not begun yet, and must not.
    process = subprocess.Popen([*command, "--epochs", "5000", "--threads", "64"], stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    rows = tmp_path / "seed-0" / "metrics.jsonl"
    while not (rows.exists() and rows.stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert f"go on with the same command and --run-dir {tmp_path}" in out
    done = rows.read_text().splitlines()
    assert 0 < len(done) < 5000
    assert not (tmp_path / "seed-0" / "result.json").exists()
    assert not (tmp_path / "seed-1").exists()
    assert main([*command[3:], "--epochs", str(len(done) + 1)]) == 0
    assert rows.read_text().splitlines()[:-1] == done
    assert (tmp_path / "seed-1" / "result.json").exists()
