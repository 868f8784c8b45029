"""Checkpoints: one safetensors file each, whose header says how to tell that every byte is right.

The header's metadata holds two strings: ``info``, a JSON object with what is not an array (epoch, step,
totals, history, ...) and, for every tensor, its shape, type and CRC-32; and ``crc32``, that of ``info``.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xnn.errors import RunError
from xnn.paths import reason
from xnn.training.files import remove, sync_folder, write_atomically

FORMAT = 1
SUFFIX = ".safetensors"

Tensors = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Saved:
    """The content of one checkpoint file."""

    path: Path
    arrays: Tensors
    info: dict[str, Any]


def _description(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"dtype": array.dtype.name, "shape": list(array.shape), "crc32": zlib.crc32(array.tobytes())}


def _file_name(info: Mapping[str, Any]) -> str:
    if info["batch"]:
        return f"step-{info['step']:08d}{SUFFIX}"
    return f"epoch-{info['epoch']:05d}{SUFFIX}"


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically."""
    from safetensors.numpy import save

    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_atomically(path, save(contiguous, dict(metadata)))


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read a safetensors file: its arrays and its metadata.

    Raises
    ------
    RunError
        The file cannot be read or is not a whole safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names, metadata = file.keys(), file.metadata() or {}
            return {name: np.array(file.get_tensor(name)) for name in names}, metadata
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


def save(directory: Path, arrays: Mapping[str, np.ndarray[Any, Any]], info: Mapping[str, Any]) -> Path:
    """Write a checkpoint into `directory`, named after its epoch, or its step when inside an epoch.

    Parameters
    ----------
    directory
        Made if it does not exist.
    arrays, info
        What `Trainer.state_dict` returned; `info` must be JSON-able and hold ``epoch, batch, step``.
    """
    tensors = {name: _description(array) for name, array in arrays.items()}
    text = json.dumps({"format": FORMAT, "state": dict(info), "tensors": tensors}, allow_nan=False)
    path = directory / _file_name(info)
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True, exist_ok=True)
            sync_folder(directory.parent)
    except OSError as error:
        raise RunError(f"cannot write {directory}: {reason(error)}") from error
    write_tensors(path, arrays, {"info": text, "crc32": str(zlib.crc32(text.encode()))})
    return path


def _checked_info(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    text = metadata.get("info", "")
    if not text or metadata.get("crc32") != str(zlib.crc32(text.encode())):
        raise RunError(f"{path} is damaged: its description does not match its checksum")
    info: dict[str, Any] = json.loads(text)
    if info["format"] != FORMAT:
        raise RunError(f"{path} has format {info['format']}, this version reads format {FORMAT}")
    return info


def load(path: Path) -> Saved:
    """Read a checkpoint and check every byte of it.

    Raises
    ------
    RunError
        Names the file and what is wrong with it.
    """
    arrays, metadata = read_tensors(path)
    info = _checked_info(path, metadata)
    expected = info["tensors"]
    if arrays.keys() != expected.keys():
        raise RunError(f"{path} is damaged: it holds {sorted(arrays)}, described are {sorted(expected)}")
    for name, array in arrays.items():
        if _description(array) != expected[name]:
            raise RunError(f"{path} is damaged: '{name}' does not match its checksum")
    return Saved(path, arrays, info["state"])


def _moment(path: Path) -> tuple[int, int, bool] | None:
    """When a checkpoint was taken, from its header alone; later ones compare greater. None where that is damaged.

    After an epoch's last step there may be two: one from before its evaluation, and the epoch's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            state = _checked_info(path, file.metadata() or {})["state"]
            return state["step"], state["epoch"], not state["batch"]
    except (OSError, SafetensorError, RunError):
        return None


def _newest_first(directory: Path) -> tuple[list[Path], list[Path]]:
    """Checkpoints with a sound header, the newest first, and those without."""
    files = [path for path in directory.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    moments = {path: _moment(path) for path in sorted(files, reverse=True)}
    sound = {path: moment for path, moment in moments.items() if moment is not None}
    return sorted(sound, key=sound.__getitem__, reverse=True), [path for path in moments if path not in sound]


def newest_valid(directory: Path) -> tuple[Saved | None, list[str]]:
    """Return the newest sound checkpoint in `directory` and a line for each damaged one passed over."""
    sound, damaged = _newest_first(directory)
    complaints: list[str] = []
    for path in damaged + sound:
        try:
            return load(path), complaints
        except RunError as error:
            complaints.append(str(error))
    return None, complaints


def prune(directory: Path, keep: int, latest: Path | None = None) -> None:
    """Delete all but the `keep` newest checkpoints; damaged ones are left for `newest_valid` to name.

    Those newer than `latest`, the one just written, were passed over when the run went on: they do not count.

    Raises
    ------
    RunError
        One cannot be deleted.
    """
    sound, _ = _newest_first(directory)
    counted = sound[sound.index(latest) if latest in sound else 0 :]
    for path in counted[keep:]:
        remove(path)
