"""A worker of ``xnn-sweep``, between two trials."""

import os
import signal
from types import SimpleNamespace

import pytest

pytest.importorskip("optuna", reason="a sweep needs optuna")

from xnn.cli import sweep_worker
from xnn.cli.signals import NUMBERS, StopSignals
from xnn.sweeps.sweep import Definition, Sweep

FIXED = {"model": "mlp", "hidden": 4, "epochs": 1, "backend": "numpy", "optimizer": "sgd", "validation": 0.1}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_after_a_trial_that_diverged_ends_a_worker_that_waits(tmp_path, monkeypatch, capsys, number):
    """The trial's trainer is no more, and can stop nothing."""
    order = {"folder": str(tmp_path), "storage": str(tmp_path / "study.journal")}
    order |= {"trials": 2, "prune": True, "changes": {}}
    pauses = []

    def sleep(seconds):
        assert not pauses, "it waits on"
        pauses.append(seconds)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(sweep_worker, "time", SimpleNamespace(sleep=sleep))
    definition, signals = Definition(FIXED, {"lr": "1e30,1e35"}), StopSignals()
    with Sweep.opened(tmp_path, tmp_path / "study.journal", definition) as sweep, sweep.claimed(2):
        with signals.installed(), pytest.raises(KeyboardInterrupt):
            sweep_worker._work(order, signals)
        assert "diverged" in capsys.readouterr().out
        assert len(sweep.finished()) == 1
    assert signals.received == signal.Signals(number)
    assert signals.exit_code == 128 + number
