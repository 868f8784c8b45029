"""One case from beginning to end: made, handed to its command, judged, cleared away."""

import functools
import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.hostile import child, data, entries, guard, official, runs
from tests.hostile.cases import Case, Command, Group
from tests.hostile.child import Limits, Outcome
from tests.hostile.page import faults_of_page
from tests.hostile.rule import faults_of_outcome
from tests.hostile.table import Tried
from tests.hostile.tree import changes, snapshot
from tests.hostile.world import Place, World, shrink_cifar

GROUPS: dict[str, Group] = {
    group.name: group for group in (*runs.GROUPS, *entries.GROUPS, *data.GROUPS, *official.GROUPS)
}
Start = Callable[[list[str], Path, Path, dict[str, str], Limits], Outcome]
LIMITS = Limits()
EVERY_REAL = 30
"""One case of so many is a real process of the command: more than 300 of 10,000."""
FIRST_REAL = 11
"""The number of each group's first: a sample that has fewer cases of a group is spared the second that it takes."""


def attempt(
    group: str, number: int, world: World, folder: Path, *, seed: int = 0, limits: Limits = LIMITS, keep: bool = False
) -> tuple[Tried, Outcome, Command]:
    """Try a case in a folder that does not exist, which is gone afterwards unless it is to be kept."""
    place = Place(folder / "case", world)
    random = Random(f"{seed} {group} {number}") if number else None
    case = GROUPS[group].make(place, random)
    module = f"xnn.cli.{case.command.program}"
    real = case.real or number % EVERY_REAL == FIRST_REAL
    if real:
        place.environment |= {"XNN_TWINS": "1", guard.SMALL: case.small}
        start = functools.partial(child.real, module)
    else:
        start = functools.partial(child.forked, _main(module, case.small))
    outcome, faults = judged(case, place, start, folder / "logs", limits)
    if not keep:
        shutil.rmtree(folder)
    return (
        Tried(group, number, case.told, tuple(faults), outcome.code, outcome.seconds, outcome.memory, real),
        outcome,
        case.command,
    )


def judged(case: Case, place: Place, start: Start, logs: Path, limits: Limits) -> tuple[Outcome, list[str]]:
    """Start a case's command, and return what came of it and how it broke the rule."""
    before = snapshot(place.path)
    outcome = start(list(case.command.arguments), place.work, logs, place.environment, limits)
    faults = faults_of_outcome(outcome, case)
    allowed = (*case.command.writes, "cache/", "tmp/")
    after = snapshot(place.path)
    faults += [f"changed {name}" for name in changes(before, after, allowed)][:3]
    left = [name for name in after if name not in before and name.startswith(("cache/", "tmp/")) and ".tmp" in name]
    if left and not outcome.killed:
        faults.append(f"left {left[0]}")
    return outcome, faults + _faults_of_page(place, case.command, outcome)


def _main(module: str, small: str) -> Callable[[list[str]], int]:
    def run(arguments: list[str]) -> int:
        if small:
            shrink_cifar(larger=small == "larger")
        return importlib.import_module(module).main(arguments)

    return run


def _faults_of_page(place: Place, command: Command, outcome: Outcome) -> list[str]:
    """Look at the page that a command that ended well has to have written."""
    faults = []
    pages = [place.path / name for name in command.writes if name.endswith("/report.html")]
    for page in pages if outcome.code == 0 else ():
        if page.is_file() and not page.is_symlink():
            faults += [f"the page has {fault}" for fault in faults_of_page(page.read_text("utf-8"))]
        else:
            faults.append("wrote no page")
    return faults
