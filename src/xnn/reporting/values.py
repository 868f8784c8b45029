"""Turning values of a run's files, which may hold anything, into numbers to draw and text to show."""

import json
import math
from typing import Any

from xnn.texts import printable

MOST_SIGNS = 100
"""How long a name or a value may be before it is cut."""


def real(value: Any) -> float | None:
    """Return a finite number as a float, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer too large for a float
        return None


def number(value: Any, form: str) -> str:
    """Return a number in a format such as ``{:.4f}``, a dash for None, and anything else as text."""
    if value is None:
        return "-"
    if real(value) is None:
        return plain(value)
    return printable(form.format(value), MOST_SIGNS)


def short(text: object) -> str:
    """Return the name of a class, a run or a data set on one line of bounded length."""
    return printable(str(text), MOST_SIGNS)


def plain(value: Any) -> str:
    """Return any value of a setting or a result as text of bounded length."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return short(value)
    try:
        if isinstance(value, list):
            return short(", ".join(map(str, value[:MOST_SIGNS])))
        return short(json.dumps(value))
    except (TypeError, ValueError, RecursionError):  # not from a JSON file, or an integer of thousands of digits
        return type(value).__name__
