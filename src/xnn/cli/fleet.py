"""Several processes of a command at once: what they print, what stops them, and a terminal's line for each."""

import os
import signal
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from xnn.kernels import threads
from xnn.runs.settings import Settings
from xnn.training.progress import print_line

if TYPE_CHECKING:
    from rich.console import Console

_LAST_LINES = 20
"""Lines of a process that are kept to tell how it died."""


@dataclass
class Child:
    """One of the processes, and the last that was heard of it."""

    name: str
    told: str = "waits"
    code: int | None = None
    process: "subprocess.Popen[str] | None" = None

    @property
    def line(self) -> str:
        """What a terminal shows of it."""
        return f"{self.name}: {self.told}"


C = TypeVar("C", bound=Child)


class Fleet(Generic[C]):
    """The processes of some children; what stops a trainer stops them.

    Parameters
    ----------
    program
        The command's name, with which lines on standard error begin.
    children
        Each is run by `run` once.
    console
        Where they are shown.
    """

    def __init__(self, program: str, children: list[C], console: "Console") -> None:
        self.program, self.children, self.console = program, children, console
        self.stopped: int | None = None

    def run(self, child: C) -> None:
        """Do a child's work, in a thread of its own; a subclass calls `start` here."""
        raise NotImplementedError

    def hear(self, child: C, line: str) -> bool:
        """Take a line of the child's output; False if it means nothing here."""
        raise NotImplementedError

    def request_stop(self, reason: str, *, to_resume: bool) -> None:
        """Pass a signal on, and begin no more runs."""
        self.stopped = signal.Signals[reason]
        for child in self.children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(self.stopped)

    def sail(self, at_once: int) -> None:
        """Run all, so many at once."""
        with self._shown(), ThreadPoolExecutor(at_once) as workers:
            waiting = [workers.submit(self.run, child) for child in self.children]
            try:
                for each in as_completed(waiting):
                    each.result()
            except BaseException:  # the second signal, by which all end at once, or a fault, by which all stop
                self.request_stop("SIGINT", to_resume=True)
                raise

    def start(self, child: C, module: str, arguments: list[str], *, held: bool = False) -> bool:
        """Run a module in a process of its own until it ends, and set the child's code.

        With `held`, the child's standard input is a pipe that ends with this process, by which it can tell.

        Returns
        -------
        bool
            Whether the child said why, where its code is not 0.
        """
        others: deque[str] = deque(maxlen=_LAST_LINES)
        explained, prefix = False, f"{self.program}: "
        with subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE if held else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            encoding="utf-8",
            # A terminal's Ctrl-C comes to this process alone, which passes it on.
            start_new_session=True,
        ) as child.process:
            assert child.process.stdout is not None
            if self.stopped is not None:
                child.process.send_signal(self.stopped)
            for line in child.process.stdout:
                if self.hear(child, line.rstrip("\n")):
                    continue
                if line.startswith(prefix):
                    explained = explained or line.startswith(f"{prefix}error: ")
                    self.pass_on(child, line.removeprefix(prefix))
                else:
                    others.append(line)
        child.code = child.process.returncode
        if child.code and not explained and self.stopped is None:
            for line in others:  # a traceback, for example
                self.pass_on(child, line)
        return explained

    def pass_on(self, child: C, line: str) -> None:
        """Print what a child said on standard error."""
        print(f"{self.program}: {child.name}: {line.rstrip()}", file=sys.stderr)

    def say(self, line: str) -> None:
        """Print a line where no terminal shows the children's own."""
        if not self.console.is_terminal:
            print_line(self.console, line)

    def _shown(self) -> Any:
        """Return a context in which a terminal shows a line for each child, always the newest."""
        if not self.console.is_terminal or self.console.quiet:
            return nullcontext()
        from rich.live import Live
        from rich.text import Text

        def lines() -> Text:
            return Text("\n".join(child.line for child in self.children), no_wrap=True, overflow="ellipsis")

        return Live(get_renderable=lines, console=self.console, refresh_per_second=4, redirect_stderr=False)


def groups(settings: Settings, count: int) -> tuple[int, int]:
    """Return how many of so many processes run at once, and how many threads each has."""
    cores = threads.cores()
    each = settings.threads or (threads.count() if threads.is_set() else max(cores // count, 1))
    return min(max(cores // each, 1), count), each
