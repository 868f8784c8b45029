"""What the commands share: how their errors look, and which exit codes they have."""

import re
import sys
from collections.abc import Callable

from xnn.errors import NonFiniteLoss, UserError

BAD_INPUT, DIVERGED, INTERRUPTED = 2, 3, 130
BAR = "━"


def guarded(program: str, command: Callable[[], None]) -> int:
    """Run a command and return its exit code; what a user can mend becomes one line on standard error.

    0: done. 2: bad input, or too little memory. 3: a loss became NaN or infinite. 130: stopped by SIGINT.
    """
    try:
        command()
    except UserError as error:
        return _complain(program, error, BAD_INPUT)
    except NonFiniteLoss as error:
        return _complain(program, error, DIVERGED)
    except (MemoryError, RuntimeError) as error:
        # PyTorch has no type of its own for the memory of the CPU, only these words.
        if isinstance(error, RuntimeError) and not re.search(r"allocate memory|out of memory", str(error)):
            raise
        return _complain(program, f"out of memory ({error})", BAD_INPUT)
    except KeyboardInterrupt:
        return _complain(program, "stopped", INTERRUPTED)
    return 0


def say(line: str) -> None:
    """Print a line, with what the terminal's encoding has not (a bar, a file's odd name) in plainer signs."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        line = line.replace(BAR, "-").encode(encoding, "replace").decode(encoding)
    print(line)


def _complain(program: str, error: object, code: int) -> int:
    print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code
