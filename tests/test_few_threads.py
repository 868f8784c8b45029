"""What happens where the system lets a user start few threads."""

import io
import os
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from xnn import _few_threads
from xnn._notes import note
from xnn.training import progress

resource = pytest.importorskip("resource", reason="the system has no such limit")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of threads on Linux alone")


@pytest.fixture
def start_few(monkeypatch):
    """Return a function after which so many threads can be started at once, as ``ulimit -u`` has it."""

    def limit(count):
        running = []
        really = threading.Thread.start

        def start(thread):
            running[:] = [other for other in running if other.is_alive()]
            if len(running) >= count:
                raise RuntimeError("can't start new thread")
            really(thread)
            running.append(thread)

        monkeypatch.setattr(threading.Thread, "start", start)
        monkeypatch.setattr(resource, "getrlimit", lambda kind: (count, count))

    note.cache_clear()
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    return limit


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_blas_has_one_thread_where_few_can_be_started(start_few, caplog, count):
    start_few(count)
    _few_threads.spare_blas(loaded=())
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    line = f"xnn: this user may start fewer than 10 more threads (ulimit -u {count}), so BLAS gets one"
    assert [record.getMessage() for record in caplog.records] == [line]


def test_blas_is_left_alone_where_enough_can_be_started(start_few, caplog):
    start_few(10)
    _few_threads.spare_blas(loaded=())
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    assert not caplog.records


def test_blas_is_left_alone_where_someone_has_decided(start_few, monkeypatch):
    start_few(0)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    _few_threads.spare_blas(loaded=())
    assert os.environ["OPENBLAS_NUM_THREADS"] == "2"


def test_there_is_no_bar_without_a_thread_for_it(start_few):
    console = Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(progress.reporter(console), progress.Bar)
    start_few(0)
    assert not isinstance(progress.reporter(console), progress.Bar)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="the limit does not bind root")
def test_a_process_that_may_start_no_thread_computes():
    program = """
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
import xnn
import numpy as np
from xnn import nn
layers = nn.Sequential(nn.Conv2d(16, 3, padding=1), nn.Flatten(), nn.Linear(3))
model = layers.build((28, 28, 4), backend=xnn.backend("numpy"))
print(model(np.ones((64, 28, 28, 4), np.float32)).shape)
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (0, "(64, 3)\n"), done.stderr
    assert all(line.startswith("xnn: ") for line in done.stderr.splitlines())
