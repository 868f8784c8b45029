"""A program that trains, forks, and trains in the child; ``python -m tests.kernels.numpy.forking WAY...``.

For each way to fork it prints a line: whether the networks of the children, and after them those of the parent, end
with the bits that the parent's ended with before the first fork.
"""

import multiprocessing
import os
import sys
import threading
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np

from tests.kernels.numpy.networks import NETWORKS, trained
from xnn.kernels.numpy.threads import threads
from xnn.training import Callback

FORK = multiprocessing.get_context("fork")


def checksum(name):
    return zlib.crc32(trained(name))


def everything(_=None):
    """What a process computes, and how many threads BLAS is left with."""
    checksums = [checksum(name) for name in NETWORKS]
    # What the parent made and holds on to serves in the child too.
    spread = POOL.run(sum, POOL.parts(90))
    return [*checksums, spread, threads().blas.counts(), [one.get_num_threads() for one in POOL.blas.libraries]]


POOL = threads()
BLAS_THREADS = threads().blas.counts()


def by_process(compute=everything):
    queue = FORK.SimpleQueue()
    child = FORK.Process(target=lambda: queue.put(compute()))
    child.start()
    found = queue.get()
    child.join()
    return [found]


def by_executor():
    with ProcessPoolExecutor(2, mp_context=FORK) as executor:
        return list(executor.map(everything, range(2)))


def by_joblib():
    from joblib import Parallel, delayed

    return Parallel(2, backend="multiprocessing")(delayed(everything)() for _ in range(2))


def by_thread_of_a_child():
    def work():
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(everything).result()

    return by_process(work)


def from_a_callback():
    found = []

    class Forks(Callback):
        def step_end(self, trainer):
            if trainer.step in (1, 3):
                found.extend(by_process())

    for name in NETWORKS:
        trained(name, [Forks()])
    # BLAS is at one thread in these children, which are inside training as their parent is.
    assert all(set(results[-1]) == {1} for results in found)
    return [[*results[:-1], BLAS_THREADS] for results in found]


def of_a_run_that_goes_on_in_the_child():
    """The child, like its parent, finishes the training that it was forked in."""
    readable, writable = os.pipe()
    children = []

    class Forks(Callback):
        def step_end(self, trainer):
            if trainer.step == 2:
                children.append(os.fork())

    found = zlib.crc32(trained("affine", [Forks()]))
    if children[0] == 0:
        try:
            os.write(writable, repr([found, *everything()[1:]]).encode())
        finally:
            os._exit(0)
    os.waitpid(children[0], 0)
    return [eval(os.read(readable, 2**16)), [found, *everything()[1:]]]


def while_other_threads_train():
    stop = threading.Event()

    def train():
        while not stop.is_set():
            trained("affine")

    others = [threading.Thread(target=train) for _ in range(2)]
    for other in others:
        other.start()
    # Many, since a product that is cut off half-way has to be met; a product is enough to see whether one was.
    matrix = np.ones((300, 300), np.float32)
    for _ in range(20):
        by_process(lambda: float((matrix @ matrix).sum()))
    found = by_process()
    stop.set()
    for other in others:
        other.join()
    return found


def while_another_thread_compiles():
    from numba import njit

    begun, stop = threading.Event(), threading.Event()

    def compile_again():
        number = 0
        while not stop.is_set():
            number += 1
            namespace = {"np": np}
            exec(f"def function(x):\n return np.sort(x)[{number}] + np.dot(x, x)", namespace)
            begun.set()
            njit(namespace["function"])(np.arange(1000.0))

    def compute():
        @njit
        def function(x):
            return x + 1

        return function(1) and everything()

    other = threading.Thread(target=compile_again)
    other.start()
    begun.wait()
    found = [results for _ in range(3) for results in by_process(compute)]
    stop.set()
    other.join()
    return found


WAYS = (
    by_process, by_executor, by_joblib, by_thread_of_a_child, from_a_callback, of_a_run_that_goes_on_in_the_child,
    while_other_threads_train, while_another_thread_compiles,
)  # fmt: skip

if __name__ == "__main__":
    ways = {function.__name__: function for function in WAYS}
    before = everything()
    for name in sys.argv[1:]:
        children = ways[name]()
        told = ["same" if results == before else f"{results}, not {before}" for results in (*children, everything())]
        print(f"{name}: {'; '.join(told)}", flush=True)
