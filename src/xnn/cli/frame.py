"""What the commands share: the form of their errors, and their exit codes."""

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from xnn.cli.streams import Outlet, outlets
from xnn.errors import FolderGone, NonFiniteLoss, UserError
from xnn.paths import reason
from xnn.texts import printable

if TYPE_CHECKING:
    from rich.console import Console

FOLDER_GONE, BAD_INPUT, DIVERGED, INTERRUPTED = 1, 2, 3, 130
BAR = "━"
MOST_OF_ERROR = 5000
"""Most characters in an error's line: a path may have 4,096."""


def guarded(program: str, command: Callable[[], None]) -> int:
    """Run a command and return its exit code; an error that the user can mend becomes one line on standard error.

    0: done. 1: a folder was deleted or renamed meanwhile. 2: bad input, too little memory, or output that could not be
    written. 3: a loss became NaN or infinite. 130: stopped by SIGINT.
    """
    with outlets() as (out, _):
        return delivered(program, out, lambda: _code_of_guarded(program, command))


def _code_of_guarded(program: str, command: Callable[[], None]) -> int:
    try:
        return code_of(program, command)
    except KeyboardInterrupt:
        return complain(program, "stopped", INTERRUPTED)


def code_of(program: str, command: Callable[[], int | None], advice: str = "") -> int:
    """Return the exit code of a command, or of the error that ended it; `advice` helps when memory runs out."""
    try:
        return command() or 0
    except Exception as error:
        fault = fault_of(error, advice)
        if fault is None:
            raise
        return complain(program, *fault)


def fault_of(error: BaseException, advice: str = "") -> tuple[str, int] | None:
    """Return what to say of an error that ends a command, and the exit code; None for a bug."""
    if isinstance(error, FolderGone):
        return str(error), FOLDER_GONE
    if isinstance(error, UserError):
        return str(error), BAD_INPUT
    if isinstance(error, NonFiniteLoss):
        return str(error), DIVERGED
    if isinstance(error, MemoryError | RuntimeError) and is_out_of_memory(error):
        return f"out of memory ({error}){advice}", BAD_INPUT
    return None


def delivered(program: str, out: Outlet, act: Callable[[], int]) -> int:
    """Return the exit code of a command whose only purpose is its output: if that cannot be written, it is an error.

    It is not an error if a reader such as ``head`` has seen enough.
    """
    left: SystemExit | None = None
    try:
        code = act()
    except SystemExit as leaving:  # --help and --version have done their printing
        left, code = leaving, 0
    lost = out.settle()
    if lost is not None and not isinstance(lost, BrokenPipeError) and code == 0:
        return complain(program, f"standard output cannot be written: {reason(lost)}", BAD_INPUT)
    if left is not None:
        raise left
    return code


def make_console(*, quiet: bool = False) -> "Console":
    """Return a console that prints tables and colours to standard output, even if COLUMNS=0 leaves it no room."""
    from rich.console import Console

    console = Console(quiet=quiet)
    if console.width < 1:
        console.width = 80
    return console


def say(line: str) -> None:
    """Print a line with controls as escapes, and plainer characters instead of those that the encoding lacks."""
    line = printable(line)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        line = line.replace(BAR, "-").encode(encoding, "replace").decode(encoding)
    print(line)


def is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether an operation failed for lack of memory."""
    # PyTorch has no special exception for the CPU's memory, only these words.
    return isinstance(error, MemoryError) or bool(re.search(r"allocate memory|out of memory", str(error)))


def complain(program: str, error: object, code: int) -> int:
    """Print an error on one line of standard error, and return the exit code."""
    line = f"{program}: error: {' '.join(str(error).split())}"
    print(printable(line, MOST_OF_ERROR), file=sys.stderr)
    return code
