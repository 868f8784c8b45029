"""Files of arrays in the safetensors format, with checksums: checkpoints, and the trained model.

A file has the length of a header (8 bytes, least significant first), the header in JSON, then the arrays. The header
gives each array's type, shape and place, and has texts of our own under ``__metadata__``.
"""

import math
import os
import zlib
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from xnn.data.limits import free_memory
from xnn.errors import RunError, some
from xnn.files import Folder
from xnn.runs import schema

Arrays = dict[str, np.ndarray[Any, Any]]

_MOST_HEADER = 2**26
_MOST_METADATA = 10

_Metadata = Annotated[dict[schema.Name, str], Meta(max_length=_MOST_METADATA)]


def described(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, schema.Tensor]:
    """Return the type, shape and CRC-32 of each array."""
    return {
        name: {"dtype": array.dtype.name, "shape": list(array.shape), "crc32": zlib.crc32(array.tobytes())}
        for name, array in arrays.items()
    }


def checksum(text: str) -> str:
    """Return the CRC-32 of a text, in the form that files have in their metadata."""
    return str(zlib.crc32(text.encode()))


def write(folder: Folder, name: str, arrays: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str]) -> None:
    """Write a file of arrays, whole or not at all.

    Raises
    ------
    OSError
        It cannot be written.
    """
    from safetensors.numpy import save

    contiguous = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    folder.write(name, save(contiguous, dict(metadata)))


def read_metadata(folder: Folder, name: str) -> dict[str, str]:
    """Return a file's own texts, from its header alone.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        The header is damaged.
    """
    with os.fdopen(folder.open(name, os.O_RDONLY), "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > _MOST_HEADER:
            raise ValueError(f"its header has {size:,} bytes; at most {_MOST_HEADER:,} are allowed")
        # The places of arrays, of which there may be very many, are not looked at.
        text = file.read(size)
    with schema.shallow():
        header = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        found: dict[str, str] = msgspec.json.decode(header.get("__metadata__", b"{}"), type=_Metadata)
    return found


def read_arrays(folder: Folder, name: str, expected: Mapping[str, schema.Tensor] | None, limit: int) -> Arrays:
    """Return a file's arrays, which must be those that are described.

    Parameters
    ----------
    folder, name
        The file.
    expected
        What `described` returned when the file was written; None if nothing is known.
    limit
        Most bytes that the arrays may take. A larger file is not read, nor one that does not fit into memory twice.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is not a whole file of that format, or does not hold the expected arrays.
    RunError
        There is too little memory.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content, free = folder.size(name) or 0, free_memory()
    if free is not None and content <= _MOST_HEADER + limit and 2 * content > free:
        path = folder.path / name
        raise RunError(f"{path}: reading it takes {2 * content:,} bytes of memory, but only {free:,} are free")
    try:
        arrays: Arrays = load(folder.read(name, _MOST_HEADER + limit))
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())[:300]) from error  # it may quote the file
    if expected is None:
        return arrays
    if arrays.keys() != expected.keys():
        raise ValueError(f"it holds {some(sorted(arrays))}; its description lists {some(sorted(expected))}")
    found = described(arrays)
    for key, tensor in expected.items():
        if found[key] != tensor:
            raise ValueError(f"'{key}' does not match its checksum")
    return arrays


def size(described: Mapping[str, schema.Tensor]) -> int:
    """Return how many bytes the arrays take."""
    return sum(math.prod(tensor["shape"]) * np.dtype(tensor["dtype"]).itemsize for tensor in described.values())
