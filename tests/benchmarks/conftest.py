"""Running a benchmark within a test."""

import os
import sys

import pytest

from benchmarks import machine
from xnn.kernels import threads


@pytest.fixture
def near_cores(monkeypatch):
    """Two processes that measured at once on two cores would wait for each other's time slices, for minutes."""
    # By its name, since importing it needs Numba.
    monkeypatch.setattr("benchmarks.ping_pong.distance", lambda one, other: 40.0)


@pytest.fixture
def run(monkeypatch, capsys, near_cores):
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
