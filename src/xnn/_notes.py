"""Lines that say what a machine lacks, and what xnn does without it."""

import functools
import logging

_log = logging.getLogger("xnn")


@functools.cache
def note(line: str) -> None:
    """Log a line as a warning of the logger ``xnn``, only once per process.

    If a program has set up no logging, as the commands have not, the `logging` module prints it on standard error. A
    Python warning would show a line of code as well, and could become an error.
    """
    _log.warning("xnn: %s", line)
