"""A forked child computes as its parent does, whatever the parent was doing."""

import importlib.util
import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

SECONDS = 240
"""What hangs is killed then: far more than any takes, even where all kernels are compiled first."""

CHILDREN = {
    "by_process": 1,
    "by_executor": 2,
    "by_thread_of_a_child": 1,
    "by_joblib": 2,
    "from_a_callback": 4,
    "of_a_run_that_goes_on_in_the_child": 2,
    "while_other_threads_train": 1,
    "while_another_thread_compiles": 3,
}
"""The ways to fork, and how many processes tell what they have computed meanwhile."""


def test_children_compute_as_their_parent_does():
    """In one process, one way to fork after the other.

    To load Numba and the kernels takes far longer than a fork and all that is computed after it.
    """
    ways = [way for way in CHILDREN if way != "by_joblib" or importlib.util.find_spec("joblib")]
    # Python 3.12 and newer warn of forks beside threads, each time: this is what is tried here.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.kernels.numpy.forking", *ways]
    environment = os.environ | {"XNN_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "2"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        out, error = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the children, which hold its output open
        out, error = process.communicate()
        error = f"{error}\nnot over after {SECONDS} s"
    told = dict(line.split(": ", 1) for line in out.splitlines())
    assert (told, process.returncode) == ({way: "; ".join(["same"] * (CHILDREN[way] + 1)) for way in ways}, 0), error


# Python drops what a hook of a fork raises, with a line, and goes on with the fork.
INTERRUPTED = """
import _thread, os, signal, sys, threading
import xnn.kernels.numpy.awake  # all that has hooks of its own

if sys.argv[1] == "during the fork":
    # Called before the hooks of ours are, and noticed in the first of them.
    os.register_at_fork(after_in_parent=_thread.interrupt_main, after_in_child=_thread.interrupt_main)
from numba.core.compiler_lock import global_compiler_lock
from xnn.kernels.numpy.threads import blas, threads

pool, begun, go_on = threads(), threading.Event(), threading.Event()

def compute():
    return blas().one_thread(sum, [1, 2]), blas().all_threads(sum, [1, 2]), pool.run(sum, pool.parts(10))

def interrupt(*_):
    raise KeyboardInterrupt

class Waits(threading.Thread):
    def run(self):
        if sys.argv[1] == "at the compiler's lock":
            with global_compiler_lock:
                self.wait()
        elif sys.argv[1] == "at another's work":
            blas().one_thread(self.wait)

    def wait(self):
        begun.set()
        assert go_on.wait(timeout=60)

waits = Waits()
waits.start()
if sys.argv[1] != "during the fork":
    assert begun.wait(timeout=60)
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
child = os.fork()
if child == 0:
    try:
        assert compute() == (3, 3, [10, 35])
        os._exit(0)
    finally:
        os._exit(1)
go_on.set()
waits.join()
assert os.waitpid(child, 0)[1] == 0

def check():
    assert compute() == (3, 3, [10, 35])
    with global_compiler_lock:
        print("computed")

other = threading.Thread(target=check, daemon=True)
other.start()
other.join(timeout=30)
check()
"""


@pytest.mark.parametrize("place", ["at another's work", "at the compiler's lock", "during the fork"])
def test_an_interrupt_of_a_fork_leaves_no_lock_behind(place):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", INTERRUPTED, place]
    environment = os.environ | {"XNN_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, "computed\n" * 2), done.stderr
    assert done.stderr.count("KeyboardInterrupt") == (2 if place == "during the fork" else 1), done.stderr
