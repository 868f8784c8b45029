"""The threads, the cores and the processor of a benchmark."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import machine, peers
from xnn import kernels


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
