"""Errors that the caller can mend, as opposed to bugs.

The command line prints a `UserError` as one line and exits with code 2; anything else keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input from outside: a name, a file, a setting. The message is one line that says what to do."""


class BackendError(UserError):
    """The requested array library is unknown, not installed, or finds no device."""


class DataError(UserError):
    """A data set is unknown, missing, unreadable, or not what its format promises."""


class SettingError(UserError):
    """A setting has a value that training cannot use."""


class RunError(UserError):
    """A run directory cannot be used, or there is nothing sound in it to resume from."""


class FolderGone(Exception):  # noqa: N818 - named after what happened
    """A folder was deleted, renamed or replaced while it was in use. The commands end with code 1."""


class NonFiniteLoss(ArithmeticError):  # noqa: N818 - it names the event, as ZeroDivisionError's family does
    """The training loss became NaN or infinite."""


def some(items: Iterable[str], separator: str = ", ") -> str:
    """Return the first five of a list that may have thousands, and how many more there are."""
    first = list(items)
    if len(first) <= 6:  # "and 1 more" would be no shorter
        return separator.join(first)
    return separator.join([*first[:5], f"... and {len(first) - 5:,} more"])


def to_install(extra: str) -> str:
    """Return what to run to get an optional part of xnn; no package index has it yet, so it comes from a clone."""
    return f"pip install '.[{extra}]' in a clone of xnn"


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the choice nearest to `name`, or an empty string."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
