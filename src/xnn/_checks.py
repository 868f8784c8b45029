"""Checks of arguments: each returns the value or raises a ValueError that names it."""

import math
from numbers import Integral, Real
from typing import Any


def positive(name: str, value: Any) -> float:
    """Return `value` as a float if it is a finite number above 0."""
    return _number(name, value, "a finite number above 0", lambda x: x > 0)


def non_negative(name: str, value: Any) -> float:
    """Return `value` as a float if it is a finite number of at least 0."""
    return _number(name, value, "a finite number of at least 0", lambda x: x >= 0)


def fraction(name: str, value: Any) -> float:
    """Return `value` as a float if it is in [0, 1), such as the share of itself that a running average keeps."""
    return _number(name, value, "a number of at least 0 and below 1", lambda x: 0 <= x < 1)


def share(name: str, value: Any) -> float:
    """Return `value` as a float if it is above 0 and at most 1."""
    return _number(name, value, "a number above 0 and at most 1", lambda x: 0 < x <= 1)


def finite(name: str, value: Any) -> float:
    """Return `value` as a float if it is a finite number."""
    return _number(name, value, "a finite number", lambda x: True)


def open_fraction(name: str, value: Any) -> float:
    """Return `value` as a float if it is strictly between 0 and 1."""
    return _number(name, value, "a number above 0 and below 1", lambda x: 0 < x < 1)


def count(name: str, value: Any, least: int) -> int:
    """Return `value` as an int if it is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    return int(value)


def integer(name: str, value: Any) -> int:
    """Return `value` as an int if it is an integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} must be an integer, not {value!r}")
    return int(value)


def is_size(value: object, least: int) -> bool:
    """Whether `value` can be a length in a shape: a Python int of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def flag(name: str, value: Any) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return value


def no_list(name: str, value: Any) -> None:
    """Raise a TypeError if `value` is a list or a tuple, where an array is needed."""
    if isinstance(value, list | tuple):
        raise TypeError(f"{name} must be an array, not a {type(value).__name__}; numpy.asarray makes one of it")


def _number(name: str, value: Any, expected: str, allowed: Any) -> float:
    # Python treats a bool as an int, but as a rate it is always a mistake.
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not allowed(value):
        raise ValueError(f"{name} must be {expected}, not {value!r}")
    return float(value)
