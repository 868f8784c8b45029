"""Threads that are the first to compute in a process, all at once."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

# How long it takes to make what there must be one of is random; here it is always long enough for all to come.
PROGRAM = """
import sys, threading, time
from tests.kernels.numpy.networks import trained
import xnn.kernels.numpy.threads as module
import xnn.kernels.numpy.blas as blas

before = blas.blas().counts()
really = module.Threads.__init__

def slowly(self, count):
    really(self, count)
    time.sleep(0.1)

module.Threads.__init__ = slowly
begin = threading.Barrier(4, timeout=60)
found = []

def first():
    begin.wait()
    if sys.argv[1] == "training":
        trained("convolving")
    found.append((id(module.threads()), id(blas.blas())))

threads = [threading.Thread(target=first) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
now = [library.get_num_threads() for library in blas.blas().libraries]
print(len(found), len(set(found)), len(module._all), before == now == blas.blas().counts())
"""


@pytest.mark.parametrize("act", ["threads", "training"])
def test_threads_that_come_first_at_once_share_what_there_is_one_of(act):
    environment = os.environ | {"XNN_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, act], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (0, "4 1 1 True\n"), done.stderr


def test_the_library_of_products_is_made_at_import():
    """Where Python's own lock lets no second thread make another."""
    program = """
import threadpoolctl
made = []
really = threadpoolctl.ThreadpoolController.__init__
def count(self):
    made.append(self)
    really(self)
threadpoolctl.ThreadpoolController.__init__ = count
from xnn.kernels.numpy import blas
assert len(made) == 1
assert blas.blas() is blas.blas()
assert len(made) == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
