"""``xnn-train --seeds 0-4``: a run for each seed, several at once, each in a process of its own."""

import re
import shlex
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xnn.cli.arguments import BESIDE_RESUME
from xnn.cli.fleet import Child, Fleet, groups
from xnn.cli.frame import BAD_INPUT, make_console
from xnn.cli.signals import StopSignals
from xnn.errors import RunError
from xnn.kernels import threads
from xnn.paths import expanded
from xnn.runs.assembly import load_data
from xnn.runs.directory import default_path
from xnn.runs.progress import table
from xnn.runs.reading import RunFiles
from xnn.runs.settings import Settings, flag
from xnn.training.progress import print_line
from xnn.training.view_averaging import over_views

if TYPE_CHECKING:
    from rich.console import Console

_BEGINS = "begins"
_EPOCH = re.compile(r"epoch +\d+/\d+: .*")


@dataclass(kw_only=True)
class _Run(Child):
    """One seed's run."""

    seed: int
    path: Path


def train_seeds(settings: Settings, given: dict[str, Any], seeds: tuple[int, ...], signals: StopSignals) -> int:
    """Train once for each seed, in folders ``seed-N`` of the run directory, and print a table of the results.

    Runs that are in the directory already go on.

    Parameters
    ----------
    settings : Settings
        Of all runs but for the seed; `run_dir` is the folder of their folders.
    given : dict
        Those settings that the user gave.
    seeds : tuple of int
    signals : StopSignals
        Installed.

    Returns
    -------
    int
        The exit code: 0 if all runs are complete, else that of the first one that is not.
    """
    console = make_console(quiet=settings.quiet)
    base = default_path(settings.dataset, settings.recipe or settings.model or "model")
    if settings.run_dir is not None:
        base = expanded(settings.run_dir, "--run-dir", RunError)
    runs = [_Run(f"seed {seed}", seed=seed, path=base / f"seed-{seed}") for seed in seeds]
    for run in runs:
        if _is_begun(run.path):
            _check_begun(run.path, given)
    at_once, each = groups(settings, len(runs))
    # Made once, before several processes want it.
    load_data(settings, report=lambda line: print_line(console, line))
    each_has = f"{each} thread{'s' * (each > 1)} each"
    print_line(console, f"{len(runs)} runs, {at_once} at once with {each_has}, in {base}")
    fleet = _Seeds(
        runs, replace(settings, threads=settings.threads or (None if threads.is_set() else each)), given, console
    )
    # What asks a trainer to stop asks all of them.
    signals.fit_begin(cast(Any, fleet))
    try:
        fleet.sail(at_once)
    finally:
        signals.fit_end(cast(Any, fleet))
    return _end(runs, base, fleet, signals, console)


def _is_begun(path: Path) -> bool:
    return (path / "config.json").exists()


def _check_begun(path: Path, given: dict[str, Any]) -> None:
    """Raise a `RunError` if a run was begun with other settings than those that are given now."""
    with RunFiles.existing(path, "--seeds") as directory:
        begun = directory.read_settings()
    for name, value in given.items():
        then = getattr(begun, name)
        same = then == value or (isinstance(value, str) and then == str(Path(value).expanduser().absolute()))
        if name not in (*BESIDE_RESUME, "run_dir") and not same:
            raise RunError(f"{flag(name)} {value}: {path} was begun with {then}; give another --run-dir")


class _Seeds(Fleet[_Run]):
    """The runs of all seeds."""

    def __init__(self, runs: list[_Run], settings: Settings, given: dict[str, Any], console: "Console") -> None:
        super().__init__("xnn-train", runs, console)
        self.settings = settings
        self.changes = {flag(name) for name in given if name in BESIDE_RESUME}

    def run(self, child: _Run) -> None:
        """Begin a run, or go on with it."""
        if self.stopped is not None:
            return
        arguments = replace(self.settings, seed=child.seed, run_dir=str(child.path)).to_argv()
        if _is_begun(child.path):
            changes = [argument for argument in arguments if argument.partition("=")[0] in self.changes]
            arguments = ["--resume", str(child.path), *changes]
        child.told = _BEGINS
        # If mpiexec started this process, the environment says of a child that it is a rank.
        self.start(child, "xnn.cli.train", [*arguments, "--ranks=1"])
        if child.code == 0 and child.told == _BEGINS:
            child.told = "was complete already"
        self.say(child.line)

    def hear(self, child: _Run, line: str) -> bool:
        """Take the lines of epochs."""
        found = _EPOCH.fullmatch(line.strip()) is not None
        if found:
            child.told = line.strip()
        return found


def _end(runs: list[_Run], base: Path, fleet: _Seeds, signals: StopSignals, console: "Console") -> int:
    again = f"; go on with the same command and --run-dir {shlex.quote(str(base))}"
    if signals.received is not None:
        print_line(console, f"stopped and saved{again}")
        return signals.exit_code
    failed = next((run.code for run in runs if run.code), 0)
    results = [_result(run) for run in runs if run.code == 0]
    if results:
        views = int(results[0].get("test_views", 1))
        names = ("seed", over_views("test accuracy", views), "test loss", "final training loss", "seconds")
        console.print(table(names, _rows(results), left=()))
    if failed:
        lost = ", ".join(str(run.seed) for run in runs if run.code)
        print(f"xnn-train: error: not complete: seed {lost}{again}", file=sys.stderr)
        return failed if failed > 0 else BAD_INPUT
    print_line(console, f"results are in {base}")
    return 0


def _result(run: _Run) -> dict[str, Any]:
    with RunFiles.existing(run.path, "--seeds") as directory:
        return dict(directory.read_result() or {})


def _rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """Return the table's rows: each run's, then their means and, of two or more, standard deviations."""
    columns: dict[str, Callable[[float], str]] = {
        "test_accuracy": lambda value: f"{100 * value:.2f} %",
        "test_loss": lambda value: f"{value:.4f}",
        "final_train_loss": lambda value: f"{value:.4f}",
        "seconds": lambda value: f"{value:.1f}",
    }
    rows = [[str(result["seed"]), *(show(result[name]) for name, show in columns.items())] for result in results]
    if len(results) > 1:
        values = {name: [result[name] for result in results] for name in columns}
        rows.append(["mean", *(show(statistics.fmean(values[name])) for name, show in columns.items())])
        rows.append(["std", *(show(statistics.stdev(values[name])) for name, show in columns.items())])
    return rows
