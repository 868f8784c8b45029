"""One case from beginning to end: made, handed to its command, judged, cleared away."""

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.hostile import child, data, entries, runs
from tests.hostile.cases import Command, Group
from tests.hostile.child import Limits, Outcome
from tests.hostile.page import faults_of_page
from tests.hostile.rule import faults_of_outcome
from tests.hostile.table import Tried
from tests.hostile.tree import changes, snapshot
from tests.hostile.world import Place, World, shrink_cifar10

GROUPS: dict[str, Group] = {group.name: group for group in (*runs.GROUPS, *entries.GROUPS, *data.GROUPS)}
LIMITS = Limits()
EVERY_REAL = 33
"""One case of so many is a real process of the command: 300 of 10,000."""


def attempt(
    group: str, number: int, world: World, folder: Path, *, seed: int = 0, limits: Limits = LIMITS, keep: bool = False
) -> tuple[Tried, Outcome, Command]:
    """Try a case in a folder that does not exist, which is gone afterwards unless it is to be kept."""
    place = Place(folder / "case", world)
    random = Random(f"{seed} {group} {number}") if number else None
    case = GROUPS[group].make(place, random)
    writes = (*case.command.writes, "cache/", "tmp/")
    before = snapshot(place.path)
    arguments, environment = list(case.command.arguments), {**place.environment, **case.environment}
    module = f"xnn.cli.{case.command.program}"
    where = (place.work, folder / "logs", environment, limits)
    if number % EVERY_REAL == 1 and not case.small:
        outcome = child.real(module, arguments, *where)
    else:
        outcome = child.forked(_main(module, case.small), arguments, *where)
    faults = faults_of_outcome(outcome, case.command.program, case.expected)
    faults += [f"changed {name}" for name in changes(before, snapshot(place.path), writes)][:3]
    faults += _faults_of_files(place, case.command, outcome)
    if not keep:
        shutil.rmtree(folder)
    tried = Tried(group, number, case.told, tuple(faults), outcome.seconds, outcome.memory)
    return tried, outcome, case.command


def _main(module: str, small: str) -> Callable[[list[str]], int]:
    def run(arguments: list[str]) -> int:
        if small:
            shrink_cifar10(larger=small == "larger")
        return importlib.import_module(module).main(arguments)

    return run


def _faults_of_files(place: Place, command: Command, outcome: Outcome) -> list[str]:
    """Look at what was written: the page, and whether a temporary file was left."""
    page = place.work / "run" / "report.html"
    faults = []
    if outcome.code == 0 and command.writes == ("work/run/report.html",) and page.is_file():
        faults += [f"the page has {fault}" for fault in faults_of_page(page.read_text("utf-8"))]
    left = [path for name in ("tmp", "cache") for path in (place.path / name).glob("**/*.tmp*")]
    if left and not outcome.killed:
        faults.append(f"left {left[0].name}")
    return faults
