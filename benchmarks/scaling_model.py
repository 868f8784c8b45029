"""Predict how long a step takes on many ranks, and how that compares with measurements on this machine.

Usage: ``python -m benchmarks.scaling_model [--ranks N...] [--only TEXT] [--json FILE]``, where mpi4py and ``mpiexec``
are installed. It prints two tables, which take some five minutes on two cores:

1. For each of the numbers of ranks (2 and 4 by default), steps measured on this machine beside predicted ones: over its
   own memory, and over wires that are planted in between.
2. For Ethernet and InfiniBand, steps of 8, 64 and 1,024 ranks, each of which is a machine like this one.

The model. A message between R ranks of which each sends or gets m bytes takes

    ⌈log2 R⌉ α + m / B

with α the latency and B the bytes a second of a wire; m = (R - 1) / R M for a rank's share of an exchange of M bytes.
`benchmarks.scaling_trace` notes what a rank does in a step, and when: it computes as one of R, but without the others.
Where the main thread needs a message, as batch normalization's totals and Muon's updated matrices, it waits. Buckets of
gradients are summed by another thread, one after the other, each from the moment at which the backward pass has filled
it: an exchange, adding up, and another one. After the backward pass the main thread waits until the last one is done.
The model has no ranks that are slower than others, and no wires on which several messages meet.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.scaling import as_ranks, run
from benchmarks.table import print_circumstances, print_heading, print_row, write


@dataclass(frozen=True)
class Wire:
    """What messages go over.

    Attributes
    ----------
    latency : float
        Seconds until the first byte is there.
    bandwidth : float
        Bytes a second that a rank can send, and that it can get.
    """

    latency: float
    bandwidth: float

    def seconds(self, ranks: int, messages: int, size: float) -> float:
        """Return how long so many messages take, in which each rank sends so many bytes in all."""
        if ranks == 1:
            return 0.0
        return messages * math.ceil(math.log2(ranks)) * self.latency + size / self.bandwidth

    def after(self, other: "Wire") -> "Wire":
        """Return the wire that takes as long as both."""
        slowness = 1.0 / self.bandwidth + 1.0 / other.bandwidth
        return Wire(self.latency + other.latency, 1.0 / slowness if slowness else math.inf)


@dataclass(frozen=True)
class Event:
    """What happens in a step.

    Attributes
    ----------
    kind : str
        "call": the main thread sends messages and waits for them. "bucket": it has filled a bucket, which another
        thread sums. "wait": it waits for that thread.
    at : float
        When, in seconds since the step began, not counting what the main thread has waited so far.
    messages : int
    bytes : float
        That a rank sends, or gets, whichever is more.
    local : float
        Seconds for which the other thread computes.
    """

    kind: str
    at: float
    messages: int = 0
    bytes: float = 0.0
    local: float = 0.0


@dataclass(frozen=True)
class Step:
    """A step of one rank: how long the main thread computes, and what else happens, in the order of time."""

    seconds: float
    events: tuple[Event, ...] = ()

    @classmethod
    def of(cls, found: dict[str, Any]) -> "Step":
        """Return the step that JSON describes."""
        return cls(found["seconds"], tuple([Event(**event) for event in found["events"]]))


def step_seconds(step: Step, ranks: int, wire: Wire) -> float:
    """Return how long a step takes."""
    waited = free = 0.0
    for event in step.events:
        now, message = event.at + waited, wire.seconds(ranks, event.messages, event.bytes)
        if event.kind == "bucket":
            free = max(free, now) + event.local + message
        else:
            waited += message if event.kind == "call" else max(free - now, 0.0)
    return step.seconds + waited


RECIPES = {"cnn": (500, 8), "speed": (1000, 4), "mlp": (512, 60)}
"""The batch of each recipe, and how many steps take a few seconds."""
PLANTED = {"own memory": None, "1 ms, 1 Gbit/s": Wire(1e-3, 1.25e8), "0.2 ms, 10 Gbit/s": Wire(2e-4, 1.25e9)}
NETWORKS = {"Ethernet": Wire(25e-6, 1.25e9), "InfiniBand": Wire(2e-6, 25e9)}
"""25 µs and 10 Gbit/s; 2 µs and 200 Gbit/s."""
SHOWN, MOST = (8, 64, 1024), 1024


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="*", default=[2, 4], metavar="N", help="how many (default: 2 4)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only recipes with this text in their names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    arguments = parser.parse_args()
    recipes = {name: case for name, case in RECIPES.items() if arguments.only in name}
    about = machine.describe(machine.cores(), ("xnn-array", "numpy", "mpi4py"))
    print_circumstances(about)
    columns = ("recipe", "batch", "ranks", "over", "computing, ms", "predicted, ms", "measured, ms", "ratio")
    print_heading(columns)
    rows = []
    for recipe, case in recipes.items():
        for ranks in arguments.ranks:
            for row in measured(recipe, *case, ranks):
                rows.append(dict(zip(columns, row, strict=True)))
                print_row(row)
    print()
    columns = ("recipe", "over", "images", "1 rank", *(f"{ranks:,} ranks" for ranks in SHOWN), "pays up to")
    print_heading(columns)
    for recipe, case in recipes.items():
        for row in predicted(recipe, *case):
            rows.append(dict(zip(columns, row, strict=True)))
            print_row(row)
    write(arguments.json, about, rows)


def traces(recipe: str, batch: int, steps: int, cases: Sequence[tuple[int, int]], side_by_side: int) -> Any:
    """Return what `benchmarks.scaling_trace` prints; so many processes compute at once, with as many threads as fit."""
    child = [sys.executable, "-m", "benchmarks.scaling_trace", recipe, str(batch), str(max(steps // 6, 3))]
    child += [f"{ranks}:{images}" for ranks, images in cases]
    return run(as_ranks(side_by_side, child), max(machine.cores() // side_by_side, 1))


def measured(recipe: str, batch: int, steps: int, ranks: int) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the first table for a recipe: what ranks of this machine take, and should take."""
    images = -(-batch // ranks)
    found = traces(recipe, batch, steps, [(ranks, images)], ranks)
    step, own = Step.of(found["steps"][0]), Wire(**found["wire"])
    threads = max(machine.cores() // ranks, 1)
    for name, planted in PLANTED.items():
        wire = own if planted is None else own.after(planted)
        added = [] if planted is None else [str(planted.latency), str(planted.bandwidth)]
        child = [sys.executable, "-m", "benchmarks.scaling_steps", recipe, str(batch), str(steps), *added]
        expected, seen = step_seconds(step, ranks, wire), run(as_ranks(ranks, child), threads)["seconds"] / steps
        shown = [f"{1e3 * seconds:.1f}" for seconds in (step.seconds, expected, seen)]
        yield recipe, batch, ranks, name, *shown, f"{seen / expected:.2f}"


def predicted(recipe: str, batch: int, steps: int) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the second table: a batch that all ranks share, and one for each of them."""
    shared = {ranks: -(-batch // ranks) for ranks in (2**power for power in range(MOST.bit_length()))}
    each = dict.fromkeys((1, *SHOWN), batch)
    cases = list(dict.fromkeys([*shared.items(), *each.items()]))
    steps_of = dict(zip(cases, map(Step.of, traces(recipe, batch, steps, cases, 1)["steps"]), strict=True))
    alone = steps_of[1, batch].seconds
    for network, wire in NETWORKS.items():
        for how, images in (("in all", shared), ("a rank", each)):
            times = {ranks: step_seconds(steps_of[ranks, own], ranks, wire) for ranks, own in images.items()}
            work = {ranks: 1.0 if images is shared else float(ranks) for ranks in images}
            efficiency = {ranks: alone * work[ranks] / (ranks * times[ranks]) for ranks in images}
            cells = [f"{1e3 * times[ranks]:.1f} ms, {100 * efficiency[ranks]:.0f} %" for ranks in (1, *SHOWN)]
            pays = max(ranks for ranks in images if efficiency[ranks] >= 0.5)
            yield recipe, network, f"{batch} {how}", *cells, f"{pays:,}" if pays < MOST else f"{MOST:,} or more"


if __name__ == "__main__":
    main()
