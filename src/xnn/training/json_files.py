"""JSON as a run writes and reads it: documents, and files of rows, a line each."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xnn.files import Folder
from xnn.training import schema

MOST_DOCUMENT = 2**20
"""Bytes of a file that holds one document."""

MOST_ROWS = 2**32
"""Bytes of a file of rows; it is read line by line."""

_MOST_LINE = 2**16
"""Bytes of a row."""

Check = Callable[[Any], dict[str, Any]]


def line(row: Mapping[str, Any]) -> bytes:
    """One record as a line of JSON."""
    return (json.dumps(row, allow_nan=False) + "\n").encode()


def document(value: Mapping[str, Any]) -> bytes:
    """A JSON file for people to read too."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def read_document(folder: Folder, name: str) -> Any:
    """Return what a document holds.

    Raises
    ------
    OSError
        It is not there, or cannot be read.
    ValueError
        It is no JSON.
    """
    return schema.parsed(folder.read(name, MOST_DOCUMENT))


def read_rows(folder: Folder, name: str, check: Check) -> Iterator[dict[str, Any]]:
    """Give the rows of a file up to the first line that a kill left torn, or that is none; none if it does not exist.

    Parameters
    ----------
    folder : Folder
    name : str
    check : callable
        Takes what a line holds and returns the row, or raises a `ValueError` where it is none.

    Raises
    ------
    OSError
        The file is there and cannot be read.
    """
    try:
        descriptor = folder.open(name, os.O_RDONLY)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "rb") as file:
        rest = MOST_ROWS
        while rest > 0:
            text = file.readline(_MOST_LINE)
            rest -= len(text)
            row = None
            if text.endswith(b"\n"):
                with contextlib.suppress(ValueError):
                    row = check(schema.parsed(text))
            if row is None:
                return
            yield row
