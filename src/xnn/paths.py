"""Paths as users write them, and what the system says about them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xnn.errors import UserError


def expanded(text: str | os.PathLike[str], what: str, error: type[UserError]) -> Path:
    """Return a path with its ``~`` expanded, after checking that the system can look it up.

    Parameters
    ----------
    text : str or PathLike
        The given path. It need not exist.
    what : str
        What the path is for, such as ``"data directory"``; the message begins with this.
    error : type of UserError
        What to raise.

    Raises
    ------
    UserError
        Of type `error`: ``~`` names nobody, the path is too long or has a null byte, or a folder on the way may not be
        entered.
    """
    try:
        path = Path(text).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (RuntimeError, OSError, ValueError) as fault:
        raise error(f"{what} {text}: {reason(fault)}") from None
    return path


@contextmanager
def explained(kind: type[UserError], what: str) -> Iterator[None]:
    """Turn an `OSError` in the block into an error of type `kind` that says what failed, such as ``cannot read x``."""
    try:
        yield
    except OSError as fault:
        raise kind(f"{what}: {reason(fault)}") from fault


def reason(fault: Exception) -> str:
    """Return what an exception says, without the number and the path that an OSError adds."""
    return getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
