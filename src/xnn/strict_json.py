"""JSON that is read as it is meant: whole numbers in range, finite ones, checked against a description.

A value of another type, a number that is not finite or out of its range, a text or a list that is too long: each is a
`ValueError` that names the place, such as ``$.train_accuracy``. Keys that are not described are left out.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**53)]
Size = Annotated[int, Meta(ge=1, le=2**31)]
Name = Annotated[str, Meta(max_length=1000)]


@contextmanager
def shallow() -> Iterator[None]:
    """Raise a `ValueError` where the JSON that is read in the block is nested too deeply."""
    try:
        yield
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parsed(content: bytes | str) -> Any:
    """Return what a JSON text holds; NaN and infinite numbers, which JSON lacks, are refused.

    Raises
    ------
    ValueError
        It is no JSON, or too deeply nested.
    """
    with shallow():
        return json.loads(content, parse_constant=_refuse, parse_float=_finite)


def checked(value: Any, kind: Any) -> Any:
    """Return `value` as a description for msgspec says it is, checked.

    Raises
    ------
    ValueError
        It does not fit.
    """
    with shallow():
        return msgspec.convert(value, kind)


def _refuse(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds a number out of range, {text[:20]}")
    return number
