"""What the ranks of a run do together: the first one reads and writes files, and tells the others."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from xnn import kernels
from xnn._typing import Report
from xnn._version import __version__
from xnn.data.splits import Dataset, HostArray
from xnn.distributed.starting import share_of_cores
from xnn.distributed.world import World
from xnn.errors import BackendError, DataError, RunError, SettingError, UserError
from xnn.kernels import threads
from xnn.nn.layer import Layer
from xnn.runs.checkpoints import Saved
from xnn.runs.directory import RunDirectory
from xnn.runs.settings import Settings, flag

T = TypeVar("T")

_KINDS: dict[str, type[UserError]] = {
    kind.__name__: kind for kind in (UserError, BackendError, DataError, SettingError, RunError)
}
_PIECE = 2**27
"""Bytes that are told at once."""
_LOOKED_AT = 2000
"""Images of a split, evenly spaced, that are compared between ranks; labels all are."""
_OWN = ("data_dir", "threads", "quiet", "backend")
"""Settings in which ranks may differ."""


class Absent(RunDirectory):
    """A run's directory as the ranks know it that do not write: by its path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def checkpoint_folder(self) -> Iterator[Any]:
        """Yield the path of the checkpoints' folder."""
        yield self.path / "checkpoints"


class Together:
    """The ranks of a run, which all make the same calls in the same order; a process alone does everything itself.

    Where one of them raises a `UserError` in something that they do together, all of them raise it.

    Parameters
    ----------
    world : World or None
        None, or a world of one rank, for a process alone.
    """

    def __init__(self, world: World | None = None) -> None:
        self.world = None if world is None or world.size == 1 else world
        self.size = 1 if self.world is None else self.world.size
        self.is_first = self.world is None or self.world.rank == 0

    def first(self, act: Callable[[], T]) -> T:
        """Let the first rank act, and return its result, which others get as JSON."""
        if self.world is None:
            return act()
        value = self._done(act if self.is_first else None)
        told = self._broadcast(json.dumps(value).encode() if self.is_first else b"")
        return cast(T, value if self.is_first else json.loads(told))

    def all(self, act: Callable[[], T]) -> T:
        """Act, and return what that gives, unless it fails on some rank."""
        return act() if self.world is None else cast(T, self._done(act))

    def _done(self, act: Callable[[], T] | None) -> T | None:
        value, error = None, None
        try:
            value = None if act is None else act()
        except UserError as failed:
            error = failed
        self._raise_alike(error)
        return value

    def by_host(self, act: Callable[[], T]) -> T:
        """Act on the first rank of each machine while the others wait, then on these: what is cached is made once."""
        if self.world is None:
            return act()
        leads = self.world.local_rank == 0
        before = self._done(act if leads else None)
        after = self._done(None if leads else act)
        return cast(T, before if leads else after)

    @contextmanager
    def directory(self, opened: Callable[[], AbstractContextManager[RunDirectory]]) -> Iterator[RunDirectory]:
        """Yield the run's directory, which only the first rank opens."""
        with ExitStack() as stack:
            found: list[RunDirectory] = []

            def enter() -> str:
                found.append(stack.enter_context(opened()))
                return str(found[0].path)

            path = self.first(enter)
            yield found[0] if found else Absent(Path(path))

    def saved(self, read: Callable[[], Saved | None]) -> Saved | None:
        """Return the checkpoint that the first rank reads, or None if there is none."""
        if self.world is None:
            return read()
        own: list[Saved] = []

        def described() -> list[Any] | None:
            saved = read()
            if saved is None:
                return None
            own.append(saved)
            return [str(saved.path), saved.info, [(n, a.dtype.str, a.shape) for n, a in saved.arrays.items()]]

        told = self.first(described)
        if told is None:
            return None
        path, info, entries = told
        arrays = {}
        for name, dtype, shape in entries:
            content = self._broadcast(own[0].arrays[name].tobytes() if own else b"")
            arrays[name] = np.frombuffer(content, dtype).reshape(shape)
        return own[0] if own else Saved(Path(path), arrays, info)

    def agree_on(self, asked: Mapping[str, Any]) -> None:
        """Raise a `SettingError` on all ranks if they were asked for different things, or have different versions.

        Parameters
        ----------
        asked : dict
            By the names of flags.
        """
        self._agree({**asked, "xnn": __version__, "numpy": np.__version__}, "be started alike")

    def agree_on_settings(self, settings: Settings) -> None:
        """Raise a `SettingError` on all ranks if they were given different settings, apart from `_OWN`."""
        self.agree_on({flag(name): value for name, value in settings.to_dict().items() if name not in _OWN})

    def agree_on_data(self, dataset: Dataset, library: str) -> None:
        """Raise a `SettingError` on all ranks if they have different images, or compute with different libraries."""
        if self.world is None:
            return
        facts: dict[str, Any] = {"library": library, "classes": list(dataset.classes)}
        splits = {"training": dataset.train, "test": dataset.test, "validation": dataset.validation}
        for name, split in splits.items():
            if split is not None:
                facts[f"{name} images"] = list(split.images.shape)
                facts[f"checksum of the {name} labels"] = zlib.crc32(split.labels.astype("<i8").tobytes())
                facts[f"checksum of the {name} images"] = _checksum(split.images)
        self._agree(facts, "have the same data")

    def agree_on_weights(self, model: Layer) -> None:
        """Give all ranks the first one's weights, which may differ by rounding between kinds of processors."""
        if self.world is None:
            return
        for vector in (model.parameters.flat, model.buffers.flat):
            own = model.backend.to_numpy(vector)
            if not self.world.agrees(own.tobytes()):
                told = np.frombuffer(self._broadcast(own.tobytes()), own.dtype)
                vector[...] = model.backend.asarray(told)

    def introduce(self, chosen: int | None, say: Report) -> None:
        """Choose the number of threads, unless it is given, before anything computes, and say who there is."""
        if self.world is None:
            return
        world = self.world
        share = share_of_cores(world)
        if chosen is None and not threads.is_set():
            kernels.set_threads(share)
        elif chosen is not None:
            kernels.set_threads(chosen)
        counts = world.gathered(np.array([threads.count()]))[:, 0]
        fewest, most = int(counts.min()), int(counts.max())
        each = f"{fewest} thread{'s' * (fewest > 1)}" if fewest == most else f"{fewest} to {most} threads"
        hosts = f"{world.hosts} host{'s' * (world.hosts > 1)}"
        say(f"{world.size} ranks on {hosts}, with {each} each, share every batch")

    def most(self, number: int) -> int:
        """Return the largest of all ranks' numbers."""
        return number if self.world is None else int(self.world.gathered(np.array([number])).max())

    def _agree(self, facts: dict[str, Any], what: str) -> None:
        difference = None if self.world is None else self.world.difference(facts)
        if difference is not None:
            raise SettingError(f"all ranks must {what}: {difference}; give all the same")

    def _raise_alike(self, own: UserError | None) -> None:
        """Raise on all ranks the error of the lowest rank that has one."""
        said = b"" if own is None else json.dumps([type(own).__name__, str(own)]).encode()
        texts = self._all_texts(said)
        failed = next((rank for rank, text in enumerate(texts) if text), None)
        if failed is None:
            return
        if own is not None and texts[failed] == said:
            raise own
        name, line = json.loads(texts[failed])
        raise _KINDS.get(name, UserError)(line)

    def _all_texts(self, own: bytes) -> list[bytes]:
        assert self.world is not None
        return self.world.texts(own)

    def _broadcast(self, own: bytes) -> bytes:
        assert self.world is not None
        length = int.from_bytes(self.world.broadcast(len(own).to_bytes(8, "little")), "little")
        own = own.ljust(length) if not self.is_first else own
        pieces = [self.world.broadcast(own[at : at + _PIECE]) for at in range(0, length, _PIECE)]
        return b"".join(pieces)


def _checksum(images: HostArray) -> int:
    checksum = 0
    for index in np.unique(np.linspace(0, len(images) - 1, min(len(images), _LOOKED_AT)).astype(np.int64)):
        checksum = zlib.crc32(np.ascontiguousarray(images[index]).tobytes(), checksum)
    return checksum
