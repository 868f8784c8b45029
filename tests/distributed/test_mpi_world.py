"""Ranks that are processes, and talk by MPI."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xnn.distributed.mpi_world import MPIWorld
from xnn.distributed.world import GRADIENTS

ROOT = Path(__file__).parents[2]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

pytestmark = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason="needs the extra 'mpi'"
)


def run(size, *arguments):
    environment = {**os.environ, "XNN_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if size > 2:
        environment["XNN_TWINS"] = "0"  # to load Numba takes each process longer than all it does here
    command = [MPIEXEC, "-n", str(size), sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_mpi4py_without_an_mpi_is_a_clear_error(monkeypatch):
    monkeypatch.setenv("MPI4PY_LIBMPI", "/nowhere/libmpi.so")
    code = "from xnn import distributed; distributed.mpi()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "SettingError: several processes need mpi4py and an MPI (cannot load MPI library" in done.stderr


def test_who_waits_lets_others_run_on_any_system(monkeypatch):
    """Windows has no sched_yield."""
    monkeypatch.delattr(os, "sched_yield", raising=False)

    class Request:
        tries = 0

        def Test(self):  # noqa: N802 - MPI's name
            self.tries += 1
            return self.tries > 3

    world = object.__new__(MPIWorld)
    world._begun, world._finished = {GRADIENTS: 0}, {GRADIENTS: 0}
    world._finish(Request(), GRADIENTS)
    assert world._finished == {GRADIENTS: 1}


@pytest.mark.parametrize("size", [2, 3, 4, 16])
def test_ranks_that_are_processes(size):
    """Sixteen are more than there are cores, and than a batch has images."""
    done = run(size, "-m", "tests.distributed.mpi_checks", str(size))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("all is well")


PROGRAM = """
import xnn
world = xnn.distributed.mpi()
if world.rank == 1:
    raise ValueError("rank 1 has had enough")
world.barrier()
"""


def test_an_error_of_one_rank_ends_the_job():
    done = run(2, "-c", PROGRAM)
    assert done.returncode != 0
    assert done.stderr.count("ValueError: rank 1 has had enough") == 1


EXIT = """
import sys
import xnn
world = xnn.distributed.mpi()
world.barrier()
if world.rank == 1:
    sys.exit()
world.barrier()
"""


def test_ranks_do_not_wait_for_one_that_has_exited():
    done = run(2, "-c", EXIT)
    assert done.returncode != 0
    assert done.stderr.count("RuntimeError: rank 1 has ended, and rank 0 would wait for it forever") == 1


EARLY = """
import time
import numpy as np
import xnn
world = xnn.distributed.mpi()
if world.rank == 2:
    time.sleep(1.0)
world.exchanged(np.ones(10), [0, 5, 5])
"""


def test_a_rank_may_end_while_others_still_wait_for_each_other():
    """The first one gets nothing from anybody, so its part of the call is soon done."""
    done = run(3, "-c", EARLY)
    assert (done.returncode, done.stderr) == (0, "")


AMID = """
import signal
import sys
import time
import xnn
world = xnn.distributed.mpi()
world.barrier()
if world.rank == 1:
    signal.signal(signal.SIGALRM, lambda *_: sys.exit())
    signal.setitimer(signal.ITIMER_REAL, 0.2)
else:
    time.sleep(0.6)
world.barrier()
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
def test_ranks_do_not_wait_for_one_that_exits_in_the_middle_of_a_call():
    done = run(4, "-c", AMID)
    assert done.returncode != 0
    assert "RuntimeError: rank 1 has ended, and rank " in done.stderr


FINALIZED = """
import xnn
world = xnn.distributed.mpi()
world.barrier()
from mpi4py import MPI
MPI.Finalize()
"""


def test_a_program_may_end_mpi_itself():
    done = run(2, "-c", FINALIZED)
    assert (done.returncode, done.stderr) == (0, "")


def test_worlds_can_be_asked_for_more_than_once():
    done = run(1, "-c", "import xnn; print(xnn.distributed.mpi().size, xnn.distributed.mpi().size)")
    assert done.stdout.split() == ["1", "1"], done.stderr
