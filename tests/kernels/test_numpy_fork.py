"""A forked child computes as its parent does, whatever that was doing."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

SECONDS = 240
"""What hangs is killed then: far more than any takes, even where all kernels are compiled first."""


def forked(way):
    # Python 3.12 and newer warn of forks beside threads, each time: this is what is tried here.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.kernels.forking", way]
    environment = os.environ | {"XNN_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    count, *lines = done.stdout.splitlines()
    assert int(count) >= 1
    assert lines == ["same"] * (int(count) + 1)
    return int(count)


@pytest.mark.parametrize("way", ["by_process", "by_executor", "by_thread_of_a_child"])
def test_a_child_computes_after_its_parent_has(way):
    forked(way)


def test_a_child_of_joblib_computes_after_its_parent_has():
    pytest.importorskip("joblib")
    forked("by_joblib")


def test_a_child_forked_by_a_callback_computes():
    assert forked("from_a_callback") == 4


def test_a_child_goes_on_with_the_training_it_was_forked_in():
    forked("of_a_run_that_goes_on_in_the_child")


def test_a_child_forked_while_other_threads_train_computes():
    forked("while_other_threads_train")


def test_a_child_forked_while_another_thread_compiles_can_compile():
    forked("while_another_thread_compiles")
