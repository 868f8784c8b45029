"""The processes of ``xnn-sweep``, each of which runs trials; one that dies is replaced."""

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xnn.cli.fleet import Child, Fleet, groups
from xnn.cli.sweep_worker import OVER, PROGRAM, TRIAL
from xnn.kernels import threads
from xnn.runs.settings import Settings
from xnn.sweeps.outcome import named, write_csv
from xnn.sweeps.sweep import Sweep
from xnn.training.progress import print_line

if TYPE_CHECKING:
    from rich.console import Console

_LINE = re.compile(rf"({TRIAL}|{OVER}) ([0-9]+): (.*)")
_MOST_BARREN = 3
"""How many processes in a row may die without having begun a trial."""


@dataclass
class Worker(Child):
    """A process that runs trials, and the one it is at."""

    trial: int | None = None
    barren: int = 0


class Workers(Fleet[Worker]):
    """The workers of a sweep.

    Attributes
    ----------
    fault
        The exit code of a worker that could not go on; 0 if there is none.
    """

    def __init__(self, sweep: Sweep, order: dict[str, Any], count: int, console: "Console") -> None:
        super().__init__(PROGRAM, [Worker(f"worker {number + 1}") for number in range(count)], console)
        self.sweep, self.order = sweep, order
        self.fault = 0

    def run(self, child: Worker) -> None:
        """Keep one process at work until all trials are over, or something concerns all of them."""
        while self.stopped is None and not self.fault:
            child.told = "begins"
            explained = self.start(child, "xnn.cli.sweep_worker", [json.dumps(self.order)], held=True)
            if child.code == 0 or self.stopped is not None:
                break
            if explained:
                self.fault = child.code or 0
                break
            if child.trial is None:
                child.barren += 1
                if child.barren >= _MOST_BARREN:
                    self.fault = child.code or 0
                    break
            else:
                self.sweep.count_death(child.trial)
                self.pass_on(child, f"died with code {child.code} in trial {child.trial}, which goes on")
                child.trial = None
        child.told = "is done"

    def hear(self, child: Worker, line: str) -> bool:
        """Take what a worker says of its trials."""
        found = _LINE.fullmatch(line)
        if found is None:
            return False
        kind, number, told = found[1], int(found[2]), found[3]
        child.trial, child.barren = (number if kind == TRIAL else None), 0
        trial = self.sweep.trial(number)
        child.told = f"trial {number}: {told}"
        if kind == OVER:
            print_line(self.console, f"trial {number}: {named(self.sweep, trial)}: {told}")
            write_csv(self.sweep)
        elif told == "begins" and trial.intermediate_values:
            print_line(self.console, f"trial {number} goes on after epoch {max(trial.intermediate_values)}")
        return True


def share(settings: Settings, workers: int) -> int | None:
    """Return how many threads a worker has; None if the environment says it."""
    return settings.threads or (None if threads.is_set() else groups(settings, workers)[1])
