"""Checkpoints: one safetensors file each, with a header by which every byte can be checked.

The header's metadata holds two strings: ``info``, a JSON object with everything but arrays (epoch, step, totals,
history, ...) and, for every tensor, its shape, type and CRC-32; and ``crc32``, the checksum of ``info``.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from xnn import tensors
from xnn.errors import RunError
from xnn.files import Folder
from xnn.paths import explained
from xnn.runs import schema
from xnn.strict_json import Count, checked, parsed

FORMAT = 1
SUFFIX = ".safetensors"


class _Moment(TypedDict):
    """The part that says when a checkpoint was taken."""

    epoch: Count
    batch: Count
    step: Count


class _Info(TypedDict):
    """The description of a checkpoint; the reader decides what `state` must hold."""

    format: int
    state: dict[str, Any]
    tensors: tensors.Tensors


@dataclass(frozen=True)
class Saved:
    """The content of one checkpoint file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import xnn
    >>> from xnn import nn, optim
    >>> from xnn.runs import checkpoints
    >>> model = nn.Linear(2).build((1,), backend="numpy")
    >>> trainer = xnn.Trainer(model, optim.SGD(model, lr=0.1, momentum=0.9))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = checkpoints.load(checkpoints.save(Path(folder), *trainer.state_dict()))
    >>> sorted(saved.arrays), saved.info["epoch"]
    (['buffers', 'optimizer/velocity', 'parameters'], 0)
    """

    path: Path
    arrays: tensors.Arrays
    info: dict[str, Any]


def save(directory: Path | Folder, arrays: Mapping[str, np.ndarray[Any, Any]], info: Mapping[str, Any]) -> Path:
    """Write a checkpoint into `directory`, named after its epoch or, inside an epoch, after its step.

    Parameters
    ----------
    directory
        Made if it does not exist.
    arrays, info
        What `Trainer.state_dict` returned; `info` must be JSON-able and contain ``epoch, batch, step``.

    Raises
    ------
    RunError
        It cannot be written, for instance on a full disk.
    """
    content = {"format": FORMAT, "state": dict(info), "tensors": tensors.described(arrays)}
    text = json.dumps(content, allow_nan=False)
    name = f"step-{info['step']:08d}{SUFFIX}" if info["batch"] else of_epoch(info["epoch"])
    path = (directory.path if isinstance(directory, Folder) else directory) / name
    with explained(RunError, f"cannot write {path}"), _opened(directory) as folder:
        tensors.write(folder, name, arrays, {"info": text, "crc32": tensors.checksum(text)})
    return path


def of_epoch(epoch: int) -> str:
    """Return the name of the checkpoint that is written after an epoch, from 1."""
    return f"epoch-{epoch:05d}{SUFFIX}"


def load(path: Path) -> Saved:
    """Read a checkpoint and check every byte of it.

    Raises
    ------
    RunError
        The file is damaged; the error names it and says what is wrong with it.
    """
    with explained(RunError, f"cannot read {path}"), Folder(path.parent) as folder:
        return load_from(folder, path.name)


def newest_valid(
    directory: Path | Folder, check: Callable[[Saved], object] | None = None
) -> tuple[Saved | None, list[str]]:
    """Return the newest sound checkpoint in `directory`, and a line for each one that was skipped.

    Parameters
    ----------
    directory
        It need not exist.
    check
        Raises a `ValueError` for a checkpoint that should also be skipped.
    """
    complaints: list[str] = []
    with suppress(FileNotFoundError), _opened(directory, make=False) as folder:
        sound, damaged = _newest_first(folder)
        for name in damaged + sound:
            try:
                saved = load_from(folder, name)
                if check is not None:
                    check(saved)
            except ValueError as error:
                complaints.append(str(error))
            else:
                return saved, complaints
    return None, complaints


def prune(directory: Path | Folder, keep: int, latest: Path | None = None, spare: str | None = None) -> None:
    """Delete all but the `keep` newest checkpoints, and the one that `spare` names; damaged ones are left as well.

    `newest_valid` names these. Those newer than `latest`, the one just written, were passed over when the run went on:
    they do not count.

    Raises
    ------
    RunError
        One cannot be deleted.
    """
    with _opened(directory, make=False) as folder:
        sound, _ = _newest_first(folder)
        written = None if latest is None else latest.name
        counted = sound[sound.index(written) if written in sound else 0 :]
        for name in counted[keep:]:
            if name == spare:
                continue
            with explained(RunError, f"cannot delete {folder.path / name}"):
                folder.remove(name)
                folder.sync()


@contextmanager
def _opened(directory: Path | Folder, make: bool = True) -> Iterator[Folder]:
    """Yield the folder, opened for this block or by the caller."""
    if isinstance(directory, Folder):
        yield directory
        return
    if make and not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        with Folder(directory.parent) as parent:
            parent.sync()
    with Folder(directory) as folder:
        yield folder


def load_from(folder: Folder, name: str) -> Saved:
    """Read a checkpoint in an open folder, as `load` does."""
    path = folder.path / name
    with schema.reading(path):
        info = _info(folder, name)
        described = info["tensors"]
        return Saved(path, tensors.read_arrays(folder, name, described, tensors.size(described)), info["state"])


def _info(folder: Folder, name: str) -> _Info:
    metadata = tensors.read_metadata(folder, name)
    text = metadata.get("info", "")
    if not text or metadata.get("crc32") != tensors.checksum(text):
        raise ValueError("its description does not match its checksum")
    found: _Info = checked(parsed(text), _Info)
    if found["format"] != FORMAT:
        raise RunError(f"{folder.path / name} has format {found['format']}, this version reads format {FORMAT}")
    checked(found["state"], _Moment)
    return found


def _moment(folder: Folder, name: str) -> tuple[int, int, bool] | None:
    """Return when a checkpoint was taken, so that later ones compare greater; None if its header is damaged.

    After an epoch's last step there may be two: one from before the evaluation, and the epoch's own.
    """
    try:
        state = _info(folder, name)["state"]
    except (OSError, ValueError):
        return None
    return state["step"], state["epoch"], not state["batch"]


def _newest_first(folder: Folder) -> tuple[list[str], list[str]]:
    """Return the names of checkpoints with a sound header, the newest first, and of those without one."""
    names = [name for name in folder.names() if name.endswith(SUFFIX) and not name.startswith(".")]
    moments = {name: _moment(folder, name) for name in sorted(names, reverse=True)}
    sound = {name: moment for name, moment in moments.items() if moment is not None}
    return sorted(sound, key=sound.__getitem__, reverse=True), [name for name in moments if name not in sound]
