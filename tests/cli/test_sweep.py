"""``xnn-sweep``: what it refuses, what it leaves, and what a kill costs."""

import csv
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.commands import refusal_by
from xnn import data
from xnn.cli import train
from xnn.cli.sweep import main, parse

pytest.importorskip("optuna", reason="a sweep needs optuna")

assert_refused = refusal_by(main)
SMALL = ["--model", "mlp", "--hidden", "4", "--epochs", "2", "--backend", "numpy", "--threads", "1"]
SEARCH = ["lr=log:0.001..0.01", "batch_size=100,200"]


def table(folder):
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["nothing to search"]),
        (["lrr=0.1,0.2"], ["lrr", "Did you mean 'lr'"]),
        (["lr=0.1,0.2", "--lr", "0.1"], ["--lr", "searched too"]),
        (["lr=0.1,0.2", "--epocs", "3"], ["unknown flag --epocs", "--epochs"]),
        (["lr=0.1,0.2", "--zzzzzz"], ["unknown flag --zzzzzz. See xnn-sweep --help"]),
        (["lr=0.1,0.2", "--trials", "0"], ["--trials 0"]),
        (["lr=0.1,0.2", "--workers", "x"], ["--workers x"]),
        (["lr=0.1,0.2", "--score", "f1"], ["--score f1", "accuracy or loss"]),
        (["lr=0.1,0.2", "--validation", "0"], ["--validation 0"]),
        (["lr=0.1,0.2", "--dataset", "nowhere"], ["nowhere"]),
        (["seed=1,2"], ["seed", "cannot be searched"]),
        (["optimizer=sgd,adam", "--momentum", "0.9"], ["adam does not take it"]),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, arguments, words):
    assert_refused(capsys, arguments, *words)


def test_a_file_may_say_what_is_searched_and_arguments_win(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(
        'model = "mlp"\nhidden = 8\nepochs = 3\nlr = 0.5\n[search]\nlr = "log:0.001..0.1"\nbatch-size = "32,64"\n'
    )
    asked = parse(["--config", str(path), "hidden=4,8", "lr=0.1,0.2", "--epochs", "5"])
    assert asked.space.texts == {"hidden": "4,8", "lr": "0.1,0.2", "batch_size": "32,64"}
    assert asked.given == {"model": "mlp", "epochs": 5}


@pytest.mark.parametrize(
    ("content", "spec", "left"),
    [
        ('recipe = "cnn"\nepochs = 3', "model=mlp,cnn", {"epochs": 3}),
        ('model = "cnn"\nepochs = 3', "recipe=mlp,cnn", {"epochs": 3}),
        ("momentum = 0.9\nepochs = 3", "optimizer=sgd,adam", {"epochs": 3}),
        ("momentum = 0.9\nepochs = 3", "optimizer=sgd,muon", {"epochs": 3, "momentum": 0.9}),
    ],
)
def test_what_does_not_go_with_what_is_searched_gives_way(tmp_path, content, spec, left):
    (tmp_path / "it.toml").write_text(content)
    assert parse(["--config", str(tmp_path / "it.toml"), spec]).given == left


def test_the_config_of_a_run_is_searched_around(tmp_path, capsys):
    assert train.main([*SMALL, "--epochs", "1", "--run-dir", str(tmp_path / "run")]) == 0
    config = ["--config", str(tmp_path / "run" / "config.json"), "lr=0.001,0.01"]
    assert main([*config, "--trials", "1", "--run-dir", str(tmp_path / "sweep")]) == 0
    assert "which it met once" in capsys.readouterr().out
    made = json.loads((tmp_path / "sweep" / "trial-000" / "config.json").read_text())
    assert (made["validation"], made["hidden"], made["epochs"]) == (0.1, 4, 1)
    assert_refused(capsys, [*config, "--validation", "0"], "--validation 0")


def test_what_would_fail_in_every_trial_is_refused_before_the_first(tmp_path, capsys, monkeypatch):
    command = [*SMALL, *SEARCH, "--run-dir", str(tmp_path / "it")]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
        assert_refused(capsys, [*command, "--tensorboard"], "--tensorboard: needs TensorBoard")
    digits = data.load("digits")
    divided = dataclasses.replace(digits, validation=digits.test)
    monkeypatch.setattr(data, "load", lambda *names, **options: divided)
    assert_refused(capsys, [*command, "--validation", "0.2"], "--validation 0.2", "comes with validation images")
    assert not (tmp_path / "it").exists()


def test_a_sweep_and_the_same_command_again(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [*SMALL, *SEARCH, "--trials", "2"]
    assert main(command) == 0
    out, error = capsys.readouterr()
    assert not error
    assert "which it met once" in out
    again = re.search(r"xnn-train (.+)", out)[1]
    assert {"--backend=numpy", "--threads=1", "--hidden=4"} <= set(shlex.split(again))
    assert "--run-dir" not in again
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"digits-mlp-sweep-[0-9a-f]{8}", folder.name)
    rows = table(folder)
    assert [row["state"] for row in rows] == ["complete"] * 2
    assert len(list(folder.glob("trial-*/result.json"))) == 1
    for row in rows:
        made = json.loads((folder / row["folder"] / "config.json").read_text())
        assert made["lr"] == float(row["lr"])
        assert made["batch_size"] == int(row["batch_size"])
        assert made["validation"] == 0.1
    # The same command finds all of it; with more trials it goes on.
    assert main(command) == 0
    assert "2 of them over already" in capsys.readouterr().out
    assert table(folder) == rows
    assert main([*command[:-1], "3"]) == 0
    capsys.readouterr()
    assert table(folder)[:2] == rows
    assert len(table(folder)) == 3
    assert_refused(capsys, [*command, "--lr", "0.1"], "searched too")
    assert_refused(capsys, [*SMALL, "lr=0.1,0.2", "--run-dir", str(folder)], "was begun with", "another --run-dir")


def children(parent):
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "status").read_text()
            except OSError:
                continue
            if f"PPid:\t{parent}\n" in status:
                found.append(int(folder.name))
    return found


def wait_until(done):
    end = time.monotonic() + 120
    while not done() and time.monotonic() < end:
        time.sleep(0.02)
    assert done()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="finds the workers in /proc, as on Linux")
def test_kills_lose_no_trial_and_repeat_none(tmp_path):
    folder = tmp_path / "sweep"
    command = [sys.executable, "-m", "xnn.cli.sweep", *SMALL, *SEARCH, "--trials", "6", "--workers", "2"]
    command += ["--run-dir", str(folder)]

    def over():
        found = table(folder) if (folder / "trials.csv").exists() else []
        return {row["trial"]: row for row in found if row["state"] != "running"}

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: len(over()) >= 1)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    wait_until(lambda: len(over()) >= 3)
    workers = children(process.pid)
    process.kill()
    said = process.communicate()[0]
    for worker in workers:  # they end by themselves, after saving
        wait_until(lambda worker=worker: not Path(f"/proc/{worker}").exists() or _is_zombie(worker))
    before = over()
    rows = {number: (folder / row["folder"] / "metrics.jsonl").read_bytes() for number, row in before.items()}
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, said + done.stdout + done.stderr
    after = over()
    assert sorted(after) == [str(number) for number in range(6)]
    assert {number: after[number] for number in before} == before
    for number, row in after.items():
        found = (folder / row["folder"] / "metrics.jsonl").read_bytes()
        assert [json.loads(line)["epoch"] for line in found.splitlines()] == [1, 2][: int(row["epochs"])]
        assert rows.get(number, found) == found
        assert f"\ntrial {number}: " not in done.stdout or number not in before
    assert len(list(folder.glob("trial-*/result.json"))) == 1


def _is_zombie(number):
    try:
        return "State:\tZ" in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return True


@pytest.mark.skipif(os.name == "nt", reason="this system has no SIGTERM to catch")
def test_a_signal_stops_all_and_the_same_command_goes_on(tmp_path, capsys):
    many = [*SMALL, "--epochs", "5000", *SEARCH, "--trials", "1", "--no-pruning", "--run-dir", str(tmp_path / "it")]
    command = [sys.executable, "-m", "xnn.cli.sweep", *many]
    rows = tmp_path / "it" / "trial-000" / "metrics.jsonl"
    for _ in range(2):
        seen = rows.stat().st_size if rows.exists() else 0
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda seen=seen: rows.exists() and rows.stat().st_size > seen)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
        assert process.returncode == 143, out + error
        assert "stopped; 0 trials are over; the same command goes on" in out
    epochs = [json.loads(line)["epoch"] for line in rows.read_text().splitlines()]
    assert epochs == list(range(1, len(epochs) + 1))


def test_how_a_worker_died_is_told(tmp_path, capsys, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'xnn.cli.sweep_worker' in ' '.join(sys.orig_argv):\n"
        "    os.write(2, b'no such luck\\n'); os._exit(1)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert main([*SMALL, *SEARCH, "--run-dir", str(tmp_path / "it")]) == 1
    error = capsys.readouterr().err
    assert "worker 1: no such luck" in error
    assert "not complete; the same command goes on" in error


def test_without_optuna_a_line_says_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert_refused(capsys, [*SMALL, *SEARCH, "--run-dir", str(tmp_path / "it")], "needs optuna", ".[sweep]")


def test_a_sweep_in_which_nothing_works_says_so(tmp_path, capsys):
    search = ["--optimizer", "sgd", "lr=1e30,1e35", "--run-dir", str(tmp_path / "it")]
    assert main([*SMALL, *search]) == 3
    out, error = capsys.readouterr()
    assert "there are no more combinations than these" in out
    assert out.count("diverged in epoch 1") == 4
    assert "no trial was trained to its end" in error
