"""JSON as a run writes and reads it: documents, and files of rows, a line each."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from xnn.files import Folder
from xnn.strict_json import parsed

MOST_DOCUMENT = 2**20
"""Bytes of a file that holds one document."""

_MOST_LINE = 2**16
"""Bytes of a row."""


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
    return parsed(folder.read(name, MOST_DOCUMENT))


def read_lines(folder: Folder, name: str, most: int) -> Iterator[bytes]:
    """Give the lines of a file up to the first that a kill left torn, or that is too long; none if it does not exist.

    Parameters
    ----------
    folder : Folder
    name : str
    most : int
        Bytes that are read.

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
        while most > 0 and (text := file.readline(_MOST_LINE)).endswith(b"\n"):
            most -= len(text)
            yield text
