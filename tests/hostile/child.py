"""A command in a process of its own, under limits of time and memory."""

import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.hostile import guard

ROOT = Path(__file__).parents[2]
SITE = Path(__file__).parent / "site"

Main = Callable[[list[str]], int]


@dataclass(frozen=True)
class Limits:
    """What a command may take: seconds of the processor, and MiB of memory at its peak.

    Other programs may keep the processor busy, so by the clock it may take three times as long; but not if it sleeps
    after these seconds, as one does that opens a FIFO.
    """

    seconds: float = 20.0
    memory: int = 2048


@dataclass(frozen=True)
class Outcome:
    """What came of a command; `seconds` are those of the processor, `killed` is the limit at which it was ended."""

    code: int
    stdout: str
    stderr: str
    notes: str
    seconds: float
    memory: int
    killed: str = ""


def forked(main: Main, arguments: list[str], folder: Path, logs: Path, environment: dict[str, str], limits: Limits):
    """Run `main` in a fork of this process, which has everything imported and one thread."""
    logs.mkdir(exist_ok=True)
    begun = time.monotonic()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            _prepare(folder, logs, environment)
            code = main(arguments)
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 1
        except BaseException:  # noqa: BLE001 - as the interpreter does; the rule finds the traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return _awaited(process, begun, logs, limits)


def _prepare(folder: Path, logs: Path, environment: dict[str, str]) -> None:
    os.setsid()
    os.environ.update(environment)
    sys.dont_write_bytecode = True
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(logs / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    guard.install(str(logs / "notes"))


def real(module: str, arguments: list[str], folder: Path, logs: Path, environment: dict[str, str], limits: Limits):
    """Run ``python -m MODULE`` as anybody would, but for the guard."""
    logs.mkdir(exist_ok=True)
    paths = [str(SITE), str(ROOT), os.environ.get("PYTHONPATH", "")]
    more = {"PYTHONPATH": os.pathsep.join(path for path in paths if path), guard.VARIABLE: str(logs / "notes")}
    begun = time.monotonic()
    with (logs / "stdout").open("wb") as out, (logs / "stderr").open("wb") as error:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={**os.environ, **environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=error,
            start_new_session=True,
        )
    outcome = _awaited(process.pid, begun, logs, limits)
    process.returncode = outcome.code  # so that it isn't waited for again
    return outcome


def _awaited(process: int, begun: float, logs: Path, limits: Limits) -> Outcome:
    """Wait for the end of a process, or end it at a limit."""
    killed = ""
    descriptor = os.pidfd_open(process)
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        clock = _Clock(process, begun, limits.seconds)
        while not ended.poll(50):
            if _resident(process) > limits.memory:
                killed = "memory"
            elif clock.has_run_out():
                killed = "time"
            if killed:
                os.killpg(process, signal.SIGKILL)
                break
    finally:
        os.close(descriptor)
    _, status, usage = os.wait4(process, 0)
    memory = usage.ru_maxrss // 1024
    if memory > limits.memory:
        killed = killed or "memory"
    text = {name: _text(logs / name) for name in ("stdout", "stderr", "notes")}
    code = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun if killed else usage.ru_utime + usage.ru_stime
    return Outcome(code=code, seconds=seconds, memory=memory, killed=killed, **text)


class _Clock:
    """Tells when a process that began at a time has met its limit of seconds."""

    ASLEEP = 10
    """Looks in a row at a process that sleeps and computes nothing: at fewer it may wait for a disk, or its turn."""

    def __init__(self, process: int, begun: float, limit: float) -> None:
        self._path = Path(f"/proc/{process}/stat")
        self._begun, self._limit = begun, limit
        self._computed, self._asleep = 0, 0

    def has_run_out(self) -> bool:
        """Look at the process once more."""
        try:
            fields = self._path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            return False
        computed = int(fields[11]) + int(fields[12])
        self._asleep = self._asleep + 1 if fields[0] == "S" and computed == self._computed else 0
        self._computed = computed
        if computed > self._limit * os.sysconf("SC_CLK_TCK"):
            return True
        seconds = time.monotonic() - self._begun
        return seconds > 3 * self._limit or (seconds > self._limit and self._asleep >= self.ASLEEP)


def _resident(process: int) -> int:
    """Return how many MiB of memory a process has now."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError, IndexError):  # it has just ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def _text(path: Path) -> str:
    """Return the beginning of a file; a command that prints more than this has other faults."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return file.read(2**22).decode("utf-8", "surrogateescape")
