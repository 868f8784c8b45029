"""JSON as a run writes and reads it: documents, and files with a row in each line."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from xnn.files import Folder
from xnn.runs import schema

MOST_DOCUMENT = 2**20
"""Most bytes in a file that holds one document."""

_MOST_LINE = 2**16
"""Most bytes in a row."""


def line(row: Mapping[str, Any]) -> bytes:
    """Return one record as a line of JSON."""
    return (json.dumps(row, allow_nan=False) + "\n").encode()


def document(value: Mapping[str, Any]) -> bytes:
    """Return the content of a JSON file that people can read too."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def read_document(folder: Folder, name: str) -> Any:
    """Return what a document holds.

    Raises
    ------
    OSError
        It does not exist, or cannot be read.
    ValueError
        It is not JSON.
    """
    return schema.parsed(folder.read(name, MOST_DOCUMENT))


def read_lines(folder: Folder, name: str, most: int) -> Iterator[bytes]:
    """Yield a file's lines up to the first one that a kill cut short or that is too long; none without a file.

    Parameters
    ----------
    folder : Folder
    name : str
    most : int
        Bytes to read at most.

    Raises
    ------
    OSError
        The file exists but cannot be read.
    """
    try:
        descriptor = folder.open(name, os.O_RDONLY)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "rb") as file:
        while most > 0 and (text := file.readline(_MOST_LINE)).endswith(b"\n"):
            most -= len(text)
            yield text
