"""Tell whether one commit of xnn is slower than another, by xnn's own rows of `benchmarks.peers`.

Usage: ``python -m benchmarks.commits OLD NEW [--pairs N] [--seconds S] [--threads N] [--only TEXT] [--json FILE]``. OLD
and NEW are commits of the clone that this is run in, which are checked out into folders for the time being, or folders
that are checkouts. A pair is a process of each, in which every row has a turn: how a process comes to lie in memory
makes some rows faster or slower by a tenth, for as long as it lives. A turn is repeated if the machine's host has moved
its cores away from each other (see `benchmarks.core_distance`). Two commits take some 15 minutes on two cores, of
which compiling takes a few.

Prints a Markdown table. A row fails if NEW's time is more than 3 % above OLD's by the median over pairs, and NEW is
slower in six of seven pairs; plain SGD with one image a step may lose 25 %. Among so many rows one may look slow by
chance, so those that do are timed again, in twice as many pairs, which then count alone. The exit code is 1 if a row
fails.
"""

import argparse
import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import machine, table
from benchmarks.core_distance import Cores
from benchmarks.peers_xnn import xnn_task
from benchmarks.tasks import Task, tasks
from benchmarks.timing import calls_in, turn

ROOT = Path(__file__).resolve().parent.parent
AGREEING = 7
"""A row fails only if at most one in this many pairs disagrees."""
Turns: TypeAlias = dict[tuple[str, Task], dict[str, list[float]]]
"""The seconds of a step, a turn each, of the old and the new commit in each row."""
Tasks: TypeAlias = dict[str, list[Task]]
"""The tasks of each network, by its name."""


@dataclass(frozen=True)
class Verdict:
    """What a row's pairs say.

    Attributes
    ----------
    ratio : the median over pairs of the new time divided by the old one
    slower : in how many pairs the new time is longer
    fails : whether that is too slow
    """

    ratio: float
    slower: int
    fails: bool


def judge(old: Sequence[float], new: Sequence[float], allowed: float) -> Verdict:
    """Judge both times of each pair; `allowed` is how much longer the new one may take, such as 0.03 for 3 %."""
    ratios = [b / a for a, b in zip(old, new, strict=True)]
    ratio, slower = statistics.median(ratios), sum(ratio > 1 for ratio in ratios)
    agree = AGREEING * (len(ratios) - slower) <= len(ratios)
    return Verdict(ratio, slower, ratio > 1 + allowed and agree)


def allowance(task: Task) -> float:
    """Return how much longer a task may take."""
    return 0.25 if task.optimizer == "sgd" and task.batch == 1 else 0.03


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if min(arguments.threads, arguments.pairs) < 1 or arguments.seconds <= 0:
        parser.error("--threads, --pairs and --seconds must be positive")
    if arguments.serve:
        serve(Path(arguments.old))
        return
    # The processes have it from this one.
    machine.pin(arguments.threads)
    about = machine.describe(arguments.threads, ("numpy", "numba"))
    about |= {name: getattr(arguments, name) for name in ("old", "new", "pairs", "seconds")}
    with ExitStack() as stack:
        folders = {
            "old": stack.enter_context(checkout(arguments.old)),
            "new": stack.enter_context(checkout(arguments.new)),
        }
        timing = partial(time_pairs, folders, cores=Cores(arguments.threads), seconds=arguments.seconds)
        turns = timing(arguments.pairs, lambda name, task: arguments.only in name)
        if not turns:
            parser.error(f"--only {arguments.only}: no network of both commits has a name that holds this")
        slow = [row for row, times in turns.items() if verdict_on(row[1], times).fails]
        if slow:
            print(f"{len(slow)} of {len(turns)} rows look too slow, and are timed again", file=sys.stderr, flush=True)
            turns |= timing(2 * arguments.pairs, lambda *row: row in slow)
    table.print_circumstances(about)
    table.print_heading(["network", "what", "batch", "old, ms", "new, ms", "new / old", "pairs slower", "verdict"])
    figures = [judged(name, task, times) for (name, task), times in turns.items()]
    table.write(arguments.json, about, figures)
    failed = sum(figure["fails"] for figure in figures)
    if failed:
        sys.exit(f"{failed} of {len(figures)} rows are too slow")


def make_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD", help="the commit, or the folder, to be compared with")
    parser.add_argument("new", metavar="NEW", nargs="?", default=".", help="the one to be judged (default: this clone)")
    parser.add_argument("--pairs", type=int, default=7, help="processes of each (default: 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default: 1)")
    parser.add_argument(
        "--threads", type=int, default=machine.cores(), help="threads for each process (default: all cores)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="time only networks whose name holds this text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all turns to this file")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser


@contextmanager
def checkout(name: str) -> Iterator[Path]:
    """Yield the folder of that name, or a temporary one in which the commit of that name is checked out."""
    if Path(name, "src", "xnn").is_dir():
        yield Path(name).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="xnn-") as parent:
        folder = Path(parent, "checkout")
        git = partial(subprocess.run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        made = git(["git", "worktree", "add", "--detach", str(folder), name])
        if made.returncode:
            sys.exit(f"{name} is neither a folder that is a checkout of xnn nor a commit: {made.stdout.strip()}")
        try:
            yield folder
        finally:
            git(["git", "worktree", "remove", "--force", str(folder)])


class Worker:
    """A process that times one checkout.

    Attributes
    ----------
    networks : the tasks of each network, by its name
    """

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process, self._folder = process, folder
        self.networks: Tasks = {name: [Task(*task) for task in found] for name, found in self._answer().items()}

    def turn(self, network: str, task: Task, seconds: float) -> float:
        """Return the seconds of one step, measured for so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([network, task, seconds]) + "\n")
        self._process.stdin.flush()
        step: float = self._answer()
        return step

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"the process that times {self._folder} has ended; above is what it said")
        return json.loads(line)


@contextmanager
def worker(folder: Path) -> Iterator[Worker]:
    """Yield a process that times the checkout in a folder."""
    # The benchmark's own code comes from the folder in which it starts, xnn from the checkout.
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-m", "benchmarks.commits", "--serve", str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:
        try:
            yield Worker(process, folder)
        finally:
            process.kill()


def serve(folder: Path) -> None:
    """Answer a `Worker`: time what its messages ask for, with the xnn of a checkout."""
    import xnn

    if not Path(xnn.__file__).is_relative_to(folder):
        sys.exit(f"xnn is imported from {xnn.__file__}, not from {folder}")
    networks = networks_of(folder)
    print(json.dumps({name: tasks(network) for name, network in networks.items()}), flush=True)
    for name, task, seconds in map(json.loads, sys.stdin):
        make = partial(xnn_task, networks[name], Task(*task))
        calls = calls_in(make(), seconds)
        gc.collect()
        print(json.dumps(turn(make(), calls)), flush=True)


def networks_of(folder: Path) -> dict[str, Any]:
    """Return a checkout's own networks, which are made with its own layers."""
    spec = importlib.util.spec_from_file_location("networks_of_checkout", folder / "benchmarks" / "networks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks up its module there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    networks: dict[str, Any] = module.NETWORKS
    return networks


def rows_of_both(old: Tasks, new: Tasks, wanted: Callable[[str, Task], bool]) -> list[tuple[str, Task]]:
    """Return the tasks that both commits have, of those that are wanted."""
    shared = [(name, task) for name in new if name in old for task in new[name] if task in old[name]]
    return [row for row in shared if wanted(*row)]


def time_pairs(
    folders: dict[str, Path], pairs: int, wanted: Callable[[str, Task], bool], *, cores: Cores, seconds: float
) -> Turns:
    """Time rows of both checkouts in so many pairs of processes; every second pair begins with the other one."""
    turns: Turns = {}
    for pair in range(pairs):
        with ExitStack() as stack:
            both = {name: stack.enter_context(worker(folder)) for name, folder in folders.items()}
            for row in rows_of_both(both["old"].networks, both["new"].networks, wanted):
                times = turns.setdefault(row, {"old": [], "new": []})
                for name in list(both)[:: -1 if pair % 2 else 1]:
                    times[name].append(cores.while_near(partial(both[name].turn, *row, seconds)))
        print(f"pair {pair + 1} of {pairs} is timed", file=sys.stderr, flush=True)
    return turns


def verdict_on(task: Task, times: dict[str, list[float]]) -> Verdict:
    """Judge the turns of a row."""
    return judge(times["old"], times["new"], allowance(task))


def judged(network: str, task: Task, times: dict[str, list[float]]) -> dict[str, Any]:
    """Print the row of a task and return its figures."""
    verdict = verdict_on(task, times)
    medians = [table.milliseconds(statistics.median(turns)) for turns in times.values()]
    table.print_row(
        [
            *(network, task.title, task.batch, *medians, f"{verdict.ratio:.3f}"),
            *(f"{verdict.slower} of {len(times['old'])}", "too slow" if verdict.fails else "ok"),
        ]
    )
    milliseconds = {name: [1e3 * turn for turn in turns] for name, turns in times.items()}
    return {"network": network, **task._asdict(), "turns": milliseconds, **asdict(verdict)}


if __name__ == "__main__":
    main()
