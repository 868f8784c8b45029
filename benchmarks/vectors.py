"""Time training steps with vectors of sixteen numbers (AVX-512) against vectors of eight.

Usage: ``python -m benchmarks.vectors [--threads N] [--repeats N] [--seconds S] [--only TEXT] [--json FILE]``. Prints a
Markdown table of milliseconds, medians over the turns, and the median of paired ratios: above one, sixteen are faster.

The width of vectors is decided when xnn is imported, so each width has its own process. The two take turns, and wait
for each other in between.
"""

import contextlib
import functools
import multiprocessing
import os
import statistics
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.table import (
    circumstances,
    milliseconds,
    options,
    print_circumstances,
    print_heading,
    print_row,
    write,
)
from benchmarks.timing import alternate, median_ratio

VARIABLE = "NUMBA_CPU_FEATURES"
"""Tells Numba which processor to compile for."""


def main() -> None:
    """Run the benchmark from the command line."""
    arguments = options(__doc__, repeats=7, seconds=1.0)

    from benchmarks.networks import NETWORKS
    from xnn.kernels.numpy.simd import FEATURES, LANES

    if LANES == 8:
        sys.exit("there is nothing to compare: Numba compiles for a processor without AVX-512")
    about = circumstances(arguments)
    print_circumstances(about)
    sixteen, eight = start(FEATURES), start(without_avx512(FEATURES))
    print_heading(["network", "batch", "eight, ms", "sixteen, ms", "ratio"])
    figures = []
    for name, network in NETWORKS.items():
        for batch in network.batches if arguments.only in name else ():
            calls = {"eight": call(eight, name, batch), "sixteen": call(sixteen, name, batch)}
            times = alternate(calls, arguments.repeats, arguments.seconds)
            medians = {width: milliseconds(statistics.median(turns)) for width, turns in times.items()}
            ratio = median_ratio(times["eight"], times["sixteen"])
            print_row([name, batch, medians["eight"], medians["sixteen"], f"{ratio:.2f}"])
            figures.append({"network": name, "batch": batch, "ms": medians, "ratio": round(ratio, 3)})
    write(arguments.json, about, figures)


def without_avx512(features: str) -> str:
    """Return Numba's list of a processor's features without those that come with registers of 512 bits."""
    return ",".join(f"-{name[1:]}" if name.startswith(("+avx512", "+avx10")) else name for name in features.split(","))


def start(features: str) -> Connection:
    """Start a process that takes training steps, compiled for a processor with these features."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    spawn.Process(target=_serve, args=(there, features), daemon=True).start()
    return here


def call(connection: Connection, name: str, batch: int) -> Callable[[], object]:
    """Return a function that makes the process take a step and waits for it."""

    def step() -> Any:
        connection.send((name, batch))
        return connection.recv()

    return step


def _serve(connection: Connection, features: str) -> None:
    """Take a step for each message, until there are no more."""
    # Before Numba is imported, which reads it once.
    os.environ[VARIABLE] = features

    from benchmarks.networks import NETWORKS
    from benchmarks.peers_xnn import xnn_step

    step = functools.lru_cache(maxsize=1)(lambda name, batch: xnn_step(NETWORKS[name], batch))
    with contextlib.suppress(EOFError):
        while True:
            step(*connection.recv())()
            connection.send(None)


if __name__ == "__main__":
    main()
