"""What the commands share: how their errors look, and which exit codes they have."""

import re
import sys
from collections.abc import Callable

from xnn.errors import NonFiniteLoss, UserError
from xnn.texts import printable

BAD_INPUT, DIVERGED, INTERRUPTED = 2, 3, 130
BAR = "━"
MOST_OF_ERROR = 5000
"""Characters of an error's line: a path may have 4,096."""


def guarded(program: str, command: Callable[[], None]) -> int:
    """Run a command and return its exit code; what a user can mend becomes one line on standard error.

    0: done. 2: bad input, or too little memory. 3: a loss became NaN or infinite. 130: stopped by SIGINT.
    """
    try:
        command()
    except UserError as error:
        return complain(program, error, BAD_INPUT)
    except NonFiniteLoss as error:
        return complain(program, error, DIVERGED)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return complain(program, f"out of memory ({error})", BAD_INPUT)
    except KeyboardInterrupt:
        return complain(program, "stopped", INTERRUPTED)
    return 0


def say(line: str) -> None:
    """Print a line, with controls as escapes, and what the terminal's encoding has not in plainer signs."""
    line = printable(line)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        line = line.replace(BAR, "-").encode(encoding, "replace").decode(encoding)
    print(line)


def is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether it was memory that an operation lacked."""
    # PyTorch has no type of its own for the memory of the CPU, only these words.
    return isinstance(error, MemoryError) or bool(re.search(r"allocate memory|out of memory", str(error)))


def complain(program: str, error: object, code: int) -> int:
    """Print an error on one line of standard error, and return the exit code."""
    print(f"{program}: error: {printable(' '.join(str(error).split()), MOST_OF_ERROR)}", file=sys.stderr)
    return code
