"""How many threads compute on the CPU: one setting for BLAS and the compiled kernels alike."""

import os

from xnn.errors import SettingError

ENVIRONMENT_VARIABLE = "XNN_NUM_THREADS"


def is_set() -> bool:
    """Whether there is a setting; without one BLAS is left as it is outside the kernels."""
    return bool(os.environ.get(ENVIRONMENT_VARIABLE))


def count() -> int:
    """Return what ``$XNN_NUM_THREADS`` says; by default the number of cores that this process may use.

    Raises
    ------
    SettingError
        The variable holds no positive integer.
    """
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(f"${ENVIRONMENT_VARIABLE} must be a positive integer, not {text!r}")
    return int(text)


def set_count(threads: int) -> None:
    """Set the variable for this process and those it starts."""
    if threads < 1:
        raise SettingError(f"threads must be a positive integer, not {threads}")
    os.environ[ENVIRONMENT_VARIABLE] = str(threads)
