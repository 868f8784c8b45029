"""How many threads compute on the CPU: one setting for both BLAS and the compiled kernels."""

import os

from xnn.errors import SettingError

ENVIRONMENT_VARIABLE = "XNN_NUM_THREADS"

_MOST = 256
"""Threads that any machine may be asked for: with more threads than cores it reproduces a larger machine's digits."""


def is_set() -> bool:
    """Whether there is a setting; without one, BLAS stays as it is outside the kernels."""
    return bool(os.environ.get(ENVIRONMENT_VARIABLE))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count() -> int:
    """Return what ``$XNN_NUM_THREADS`` says; by default the number of cores that this process may use.

    Raises
    ------
    SettingError
        The variable does not hold a positive integer, or holds a very large one.
    """
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    if not text:
        return cores()
    digits = text.lstrip("0")
    if not (digits.isascii() and digits.isdecimal()):
        raise SettingError(f"${ENVIRONMENT_VARIABLE} must be a positive integer, not {text!r}")
    # Python refuses to read a number of thousands of digits; the first nine are enough.
    return _checked(int(digits[:9]), f"${ENVIRONMENT_VARIABLE}", digits)


def set_count(threads: int) -> None:
    """Set the variable for this process and for processes that it starts.

    Raises
    ------
    SettingError
        The number is not positive, or very large.
    """
    if threads < 1:
        raise SettingError(f"threads must be a positive integer, not {threads}")
    os.environ[ENVIRONMENT_VARIABLE] = str(_checked(threads, "threads", str(threads)))


def _checked(threads: int, name: str, text: str) -> int:
    most = max(_MOST, 4 * cores())
    if threads > most:
        given = text if len(text) < 9 else f"a number of {len(text)} digits"
        raise SettingError(f"{name} must be at most {most}, not {given}; this process may use {_cores_phrase()}")
    return threads


def _cores_phrase() -> str:
    return "one core" if cores() == 1 else f"{cores()} cores"
