"""Files that are whole or absent: written beside their place, flushed, then renamed."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from xnn.errors import RunError
from xnn.paths import reason

TEMPORARY_SUFFIX = ".tmp"

_BINARY = getattr(os, "O_BINARY", 0)
"""Windows would otherwise write its own ends of lines."""


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader, or a power cut, sees the old file or the new one.

    Raises
    ------
    RunError
        The file cannot be written (permissions, a full disk). What was there before is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        try:
            _write(temporary, content, os.O_TRUNC, durable=True)
            os.replace(temporary, path)  # noqa: PTH105 - beside the system's other calls
            sync_folder(path.parent)
        finally:
            with suppress(FileNotFoundError):  # the usual case: it has been renamed
                temporary.unlink()
    except OSError as error:
        raise RunError(f"cannot write {path}: {reason(error)}") from error


def append(path: Path, content: bytes) -> None:
    """Add `content` to the end of `path`; the system has it when this returns, so that a kill loses nothing.

    Raises
    ------
    RunError
        It cannot be written; part of it may be.
    """
    try:
        _write(path, content, os.O_APPEND, durable=False)
    except OSError as error:
        raise RunError(f"cannot write {path}: {reason(error)}") from error


def _write(path: Path, content: bytes, mode: int, *, durable: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | _BINARY | mode, 0o666)
    try:
        rest = memoryview(content)
        while rest:  # the system may take a part of it at a time: Linux 2 GiB, a nearly full disk what still fits
            rest = rest[os.write(descriptor, rest) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file, for good also after a power cut; one that is not there is no error.

    Raises
    ------
    RunError
        It cannot be deleted.
    """
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise RunError(f"cannot delete {path}: {reason(error)}") from error


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, where the system can open folders (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_temporary(path: Path) -> bool:
    """Whether a file is what a killed `write_atomically` left."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY_SUFFIX)


def remove_temporaries(folder: Path) -> None:
    """Delete what a killed `write_atomically` left in `folder`."""
    for leftover in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def json_line(row: Mapping[str, Any]) -> str:
    """One record as a line of JSON, without the line's end."""
    return json.dumps(row, allow_nan=False)


def json_document(value: Mapping[str, Any]) -> bytes:
    """A JSON file for people to read too."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A whole file of records, a line each."""
    return "".join(f"{json_line(row)}\n" for row in rows).encode()


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read the records of `path` up to the first line that a kill left torn; none if it does not exist.

    Raises
    ------
    RunError
        The file is there and cannot be read.
    """
    rows: list[dict[str, Any]] = []
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return rows
    except OSError as error:
        raise RunError(f"cannot read {path}: {reason(error)}") from error
    for line in content.splitlines(keepends=True):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict) or not line.endswith(b"\n"):
            break
        rows.append(row)
    return rows
