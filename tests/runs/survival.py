"""Ends runs at chosen moments, by SIGKILL or by a failing disk, and goes on with them until they are complete.

A program of its own, ``python -m tests.runs.survival FOLDER WHAT HARM SEED BLOWS``, because it forks: once
everything is imported and compiled, a process for a run costs milliseconds. It prints what it has struck, and fails
where a run did not end as an undisturbed one did.
"""

import errno
import functools
import io
import json
import os
import random
import re
import signal
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xnn.cli.train import main
from xnn.nn import Sequential
from xnn.runs import checkpoints, curves

COMMON = [
    *("--epochs", "2", "--batch-size", "64", "--backend", "numpy", "--average", "0.9"),
    *("--keep", "2", "--checkpoint-every", "4", "--log-every", "5"),
]
RUNS = {
    "mlp": ["--model", "mlp", "--hidden", "8", "--augment", "crop,mixup", *COMMON],
    "speed": [
        *("--recipe", "speed", "--hidden", "2", "--first-bias-epochs", "1", "--test-views", "6"),
        *("--window", "6", "--window-share", "0.5"),
        *("--augment", "alternating-flip,shift,cutmix", *COMMON),
    ],
}
"""23 steps an epoch, so a checkpoint after steps 4, 8, 12, 16, 20, after the epoch, after 24, ..."""

PICTURE = random.Random(0).randbytes(30_000)
"""What stands for the picture of a run: to draw one takes longer than all else that a run does."""

TIMES = re.compile(rb'"(seconds|images_per_second|peak_memory_mib)": [0-9.e+-]+|"finished": "[^"]*"')

FIRST_BLOWS = [
    [("mkdir", ""), ("open", ".lock"), ("write", "config.json"), ("replace", "config.json")],
    [("write", "epoch-"), ("write", "step-"), ("write", "step-")],
    [("write", "step-"), ("replace", "step-"), ("unlink", "checkpoints/step-")],
    [("step", ""), ("write", "intervals.jsonl"), ("fsync", "step-"), ("write", "metrics.jsonl")],
    [("write", "model.safetensors"), ("replace", "model.safetensors"), ("write", "result.json")],
    [("fsync", "result.json"), ("replace", "result.json")],
    [("write", "curves.png")],
]
"""Where the first processes of a run are struck; the later ones are at random places."""


@dataclass
class Blow:
    """What happens to a process at the `number`-th event that matches."""

    harm: str
    call: str
    name: str
    number: int
    random: random.Random

    def matches(self, call: str, name: str) -> bool:
        """Count down; true once."""
        if (self.call and call != self.call) or self.name not in name or (self.harm == "fail" and call == "step"):
            return False
        self.number -= 1
        return self.number == 0

    def strike(self, perform) -> None:
        """Kill this process or fail, maybe after `perform`."""
        if self.random.random() < 0.5:
            with suppress(FileNotFoundError):  # of what is deleted in case it is there
                perform()
        if self.harm == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        code = self.random.choice([errno.ENOSPC, errno.EROFS, errno.EIO])
        raise OSError(code, os.strerror(code))


class Watch:
    """Stands before the system's calls of this process; notes each in a file, and brings the blow."""

    def __init__(self, blow: Blow | None, log: Path, root: Path) -> None:
        self.blow = blow
        self.root = root
        self.names: dict[int, str] = {}
        self.real = {name: getattr(os, name) for name in ("open", "write", "fsync", "replace", "unlink", "mkdir")}
        self.log = self.real["open"](log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        fdopen = os.fdopen

        class Watched(io.FileIO):
            def write(raw, content):  # noqa: N805 - `self` is the watch
                return self.write("write", raw.fileno(), content)

        def opened(descriptor, mode):
            return fdopen(descriptor, mode) if mode == "rb" else io.BufferedWriter(Watched(descriptor, mode))

        os.fdopen = opened
        for name in self.real:
            setattr(os, name, functools.partial(getattr(self, name, None) or self._of_path, name))
        forward = Sequential.forward

        def step(model, *arguments, **options):
            self._event("step", "", lambda: None)
            return forward(model, *arguments, **options)

        Sequential.forward = step

    def _event(self, call: str, name: str, perform) -> None:
        struck = self.blow is not None and self.blow.matches(call, name)
        self.real["write"](self.log, f"{'struck ' if struck else ''}{call} {name}\n".encode())
        if struck:
            self.blow.strike(perform)

    def _name(self, path, folder: int | None = None) -> str:
        """The path within the run's directory, which may be given by an open folder; none outside of it."""
        if folder is not None:
            return str(Path(self.names[folder], path)) if self.names.get(folder) else ""
        return os.path.relpath(path, self.root) if str(path).startswith(str(self.root)) else ""

    def _of_path(self, call: str, path, *arguments, **options):
        perform = functools.partial(self.real[call], path, *arguments, **options)
        name = self._name(path, options.get("dir_fd", options.get("src_dir_fd")))
        if name:
            self._event(call, name, perform)
        return perform()

    def open(self, call: str, path, flags, *arguments, **options):
        perform = functools.partial(self.real[call], path, flags, *arguments, **options)
        name = self._name(path, options.get("dir_fd"))
        if name and flags & (os.O_WRONLY | os.O_RDWR):
            self._event(call, name, perform)
        descriptor = perform()
        self.names[descriptor] = name
        return descriptor

    def write(self, call: str, descriptor, content):
        """Torn where it is struck."""
        part = self.blow.random.randrange(len(content) + 1) if self.blow else 0
        perform = functools.partial(self.real[call], descriptor, content[:part])
        self._event(call, self.names.get(descriptor, ""), perform)
        return self.real[call](descriptor, content)

    def fsync(self, call: str, descriptor):
        perform = functools.partial(self.real[call], descriptor)
        self._event(call, self.names.get(descriptor, ""), perform)
        return perform()


def start(what: str, folder: Path, run: Path, blow: Blow | None) -> tuple[int, list[str], str]:
    """Begin the run, or go on with it, in a process; return its status, its events and its standard error."""
    arguments = ["--resume", str(run)] if (run / "config.json").exists() else [*RUNS[what], "--run-dir", str(run)]
    log, error = folder / "events", folder / "stderr"
    process = os.fork()
    if process == 0:
        code = 70
        try:
            for number, path in ((1, folder / "stdout"), (2, error)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            Watch(blow, log, run)
            code = main(arguments)
        except BaseException:  # noqa: BLE001 - the parent sees the code and the traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), log.read_text().splitlines(), error.read_text()


def content(run: Path) -> dict[str, bytes]:
    """What must be the same after any disturbance: all but times, and paths in config.json."""
    names = ("model.safetensors", "metrics.jsonl", "intervals.jsonl", "result.json")
    found = {name: (run / name).read_bytes() for name in names}
    return {name: TIMES.sub(b"", text) if name.endswith(("jsonl", "json")) else text for name, text in found.items()}


def check_checkpoints(run: Path) -> None:
    """The newest two are there, and sound; and the one before, where the blow came before it was deleted."""
    saved, damaged = checkpoints.newest_valid(run / "checkpoints")
    assert not damaged, damaged
    assert saved is not None
    assert saved.info["epoch"] == 2
    assert len(list((run / "checkpoints").iterdir())) in (2, 3)
    assert not list(run.rglob("*.tmp"))


def check_picture(what: str, folder: Path, run: Path) -> None:
    """The run is complete, and going on with it writes the picture if a blow came before that."""
    before = content(run)
    code, _, error = start(what, folder, run, None)
    assert (code, error) == (0, ""), (code, error)
    assert (run / "curves.png").read_bytes() == PICTURE
    assert content(run) == before


def disturb(
    what: str, folder: Path, run: Path, harm: str, first: list[tuple[str, str]], draw: random.Random
) -> list[str]:
    """Strike process after process of a run until one ends well; return what was struck."""
    struck: list[str] = []
    blows = list(first)
    while True:
        call, name = blows.pop(0) if blows else ("", "")
        number = 1 if call else draw.randrange(1, 41)
        # Past so many blows no more come: only those that save before they are struck get anywhere.
        blow = Blow(harm, call, name, number, random.Random(draw.random())) if len(struck) < 8 else None
        code, events, error = start(what, folder, run, blow)
        if code == 0:
            # A disk that fails may cost the picture, and nothing else.
            assert re.fullmatch(r"(xnn-train: no curves\.png: [^\n]*\n)?" if harm == "fail" else "", error), error
            assert not blows, f"the run was over before {blows}"
            return [*struck, *(event.removeprefix("struck ") for event in events if event.startswith("struck "))]
        hit = [event for event in events if event.startswith("struck ")]
        assert len(hit) == 1, (code, hit, error)
        if harm == "kill":
            assert (code, error) == (-signal.SIGKILL, ""), (code, error)
        else:
            assert code == 2, (hit, error)
            assert re.fullmatch(r"xnn-train: error: [^\n]*(No space left|Read-only|Input/output error)[^\n]*\n", error)
            assert not list(run.rglob("*.tmp")) or "unlink" in hit[0], hit
        struck.append(hit[0].removeprefix("struck "))
        if (run / "result.json").exists():  # it was complete when it was struck
            return struck


def survive(what: str, folder: Path, harm: str, seed: int, wanted: int) -> list[str]:
    """Disturb runs until `wanted` blows were struck, and compare each with an undisturbed one."""
    assert threading.active_count() == 1, "forking needs a process with one thread"
    whole = folder / "whole"
    code, _, error = start(what, folder, whole, None)
    assert code == 0, error
    expected, draw = content(whole), random.Random(seed)
    struck: list[str] = []
    chain = 0
    while chain < len(FIRST_BLOWS) or len(struck) < wanted:
        first = FIRST_BLOWS[chain] if chain < len(FIRST_BLOWS) else []
        if harm == "fail":
            first = [blow for blow in first if blow[0] != "step"]
        run = folder / f"run-{chain}"
        struck += disturb(what, folder, run, harm, first, draw)
        check_picture(what, folder, run)
        found = content(run)
        different = [name for name in expected if found[name] != expected[name]]
        assert not different, (chain, different, struck)
        check_checkpoints(run)
        chain += 1
    return struck


if __name__ == "__main__":
    where, what, harm, seed, count = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    curves.draw = lambda *rows, **options: PICTURE
    # What was written outlives a process, if not the machine, without a wait for the disk.
    os.fsync = os.fstat
    # Imports and compiles all that runs need.
    assert main([*RUNS[what], "--quiet", "--run-dir", str(where / "warm")]) == 0
    print(json.dumps(survive(what, where, harm, seed, count)))
