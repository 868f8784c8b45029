"""All cases, on several cores."""

import dataclasses
import json
import os
import sys
import traceback
from pathlib import Path

from tests.hostile.child import Limits
from tests.hostile.table import Tried
from tests.hostile.trial import GROUPS, attempt
from tests.hostile.world import World

Numbered = tuple[str, int]


def chosen(count: int, group: str | None = None) -> list[Numbered]:
    """Return so many cases, of one group or of each by its weight: its undisturbed case, then as many as come."""
    groups = [GROUPS[group]] if group else list(GROUPS.values())
    weights = sum(one.weight for one in groups)
    return [(one.name, number) for one in groups for number in range(max(2, round(count * one.weight / weights)))]


def run_all(cases: list[Numbered], world: World, folder: Path, workers: int, seed: int, limits: Limits) -> list[Tried]:
    """Try cases, each worker every so manyth of them, and return what came of them in order."""
    sys.stdout.flush()
    logs = [folder / f"worker-{number}" for number in range(workers)]
    processes = []
    for number, log in enumerate(logs):
        process = os.fork()
        if process == 0:
            code = 1
            try:
                _work(cases[number::workers], world, log, seed, limits)
                code = 0
            except BaseException:  # noqa: BLE001 - the parent sees the code, the user the traceback
                traceback.print_exc()
            finally:
                os._exit(code)
        processes.append(process)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    if any(codes):
        raise SystemExit(f"workers ended with {codes}")
    tried = [Tried(**json.loads(line)) for log in logs for line in (log / "tried").read_text().splitlines()]
    order = {case: place for place, case in enumerate(cases)}
    return sorted(tried, key=lambda case: order[case.group, case.number])


def _work(cases: list[Numbered], world: World, folder: Path, seed: int, limits: Limits) -> None:
    folder.mkdir()
    with (folder / "tried").open("w") as log:
        for group, number in cases:
            tried, _, _ = attempt(group, number, world, folder / "case", seed=seed, limits=limits)
            log.write(json.dumps(dataclasses.asdict(tried)) + "\n")
