"""Lines about what a machine lacks, and what xnn does without it."""

import functools
import logging

_log = logging.getLogger("xnn")


@functools.cache
def note(line: str) -> None:
    """Log a line as a warning of the logger ``xnn``, only once in a process.

    A program that has set up no logging, such as the commands, prints it on standard error: that is what the
    `logging` module does with warnings. A Python warning would bring a line of code along, and could become an error.
    """
    _log.warning("xnn: %s", line)
