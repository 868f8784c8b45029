"""A worker of ``xnn-sweep``: runs trials, one after the other, until all are over. Not for people.

On standard output it says ``trial N: ...`` for what goes on, and ``over N: ...`` for what a trial came to.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnn.cli.frame import code_of, is_out_of_memory
from xnn.cli.signals import StopSignals
from xnn.sweeps.sweep import Sweep
from xnn.sweeps.trial import run_trial
from xnn.training.callbacks import Callback
from xnn.training.history import Row
from xnn.training.progress import epoch_line

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer

PROGRAM = "xnn-sweep"
TRIAL, OVER = "trial", "over"
_PAUSE = 0.5
"""Seconds between two looks at trials that other processes run."""


class _Told(Callback):
    """Prints a line an epoch."""

    def __init__(self, number: int) -> None:
        self.number = number

    def epoch_end(self, trainer: "Trainer", row: Row) -> None:
        tell(TRIAL, self.number, epoch_line(row, trainer.epochs, trainer.held_out))


def tell(kind: str, number: int, what: str) -> None:
    """Print a line for the process that started this one; it may be gone."""
    with contextlib.suppress(BrokenPipeError):
        print(f"{kind} {number}: {what}", flush=True)


def main() -> int:
    """Work, and return the exit code: as for `xnn-train`, and 0 once all trials are over."""
    order = json.loads(sys.argv[1])
    signals = StopSignals()
    try:
        with signals.installed():
            threading.Thread(target=_end_with_parent, daemon=True).start()
            return code_of(PROGRAM, lambda: _work(order, signals))
    except KeyboardInterrupt:
        return signals.exit_code


def _end_with_parent() -> None:
    """Stop as by SIGTERM once standard input ends: the process that started this one was killed."""
    # Not `sys.stdin`, whose lock a thread must not hold when the interpreter ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _work(order: dict[str, Any], signals: StopSignals) -> int:
    with Sweep.opened(Path(order["folder"]), Path(order["storage"])) as sweep:
        while len(sweep.finished()) < order["trials"]:
            if signals.received is not None:
                return signals.exit_code
            with sweep.claimed(order["trials"]) as claim:
                if claim is None:
                    time.sleep(_PAUSE)
                    continue
                tell(TRIAL, claim.number, "begins")
                try:
                    ended = run_trial(
                        sweep,
                        claim,
                        order["changes"],
                        [_Told(claim.number), signals],
                        prune=order["prune"],
                        is_out_of_memory=is_out_of_memory,
                    )
                finally:
                    signals.detach()
                tell(OVER if ended.over else TRIAL, claim.number, ended.told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
