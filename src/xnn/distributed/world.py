"""Processes that work together, and what they tell each other."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from xnn._typing import Array
from xnn.backends import Backend
from xnn.data.splits import HostArray

CALLS, GRADIENTS = "calls", "gradients"
"""Channels: what goes through one of them waits for nothing in the other, so two threads can each use one."""

_FEW_RANKS = 3
"""Up to so many, each may send gradients to everybody: R - 1 times a vector is then no more than twice. More ranks add
up pieces, also of a short vector: one more message does no harm beside the backward pass. Others are waited for."""


class World(ABC):
    """The processes of a job, each with a rank.

    All ranks call the same methods in the same order in each channel. Sums are made in the order of the ranks, so they
    are the same on all of them, and the same each time.

    Attributes
    ----------
    rank, size : int
        This process's number, from 0, and how many there are.
    host, hosts : int
        The number of this process's machine, and how many machines there are.
    local_rank, local_size : int
        The process's number among those of its machine, and how many these are.
    hurries : bool
        Whether nothing else is to be done until messages under way have come.
    sent : int
        Bytes that this rank has sent to others so far: what it gives to all of them goes round in a ring.

    Examples
    --------
    In a program that ``mpiexec -n 4 python program.py`` starts:

    >>> import xnn
    >>> world = xnn.distributed.mpi()                         # doctest: +SKIP
    >>> trainer = xnn.Trainer(model, optimizer, world=world)  # doctest: +SKIP
    >>> if world.rank == 0:                                   # doctest: +SKIP
    ...     print(f"{world.size} ranks on {world.hosts} hosts")
    """

    rank: int
    size: int
    host: int
    hosts: int
    local_rank: int
    local_size: int
    hurries: bool = False
    sent: int = 0

    _FEW: ClassVar[int] = 2**13
    """Up to so many numbers from all ranks together are sent to everybody; of more, each rank adds up a piece."""

    _WORDS: ClassVar[int] = 64

    @abstractmethod
    def gathered(self, own: HostArray, channel: str = CALLS) -> HostArray:
        """Return all ranks' arrays, which have one shape and type, stacked in the order of the ranks."""

    @abstractmethod
    def exchanged(self, own: HostArray, lengths: Sequence[int], channel: str = CALLS) -> HostArray:
        """Send each rank its part of a vector, and return what all ranks sent to this one, stacked in their order.

        The parts have these lengths, in the order of the ranks, on all of them. The next call in the channel may
        overwrite what is returned.
        """

    @abstractmethod
    def joined(self, own: HostArray, lengths: Sequence[int], channel: str = CALLS) -> HostArray:
        """Return all ranks' vectors, which are of these lengths, one after the other."""

    @abstractmethod
    def broadcast(self, message: bytes) -> bytes:
        """Return the message of rank 0."""

    @abstractmethod
    def abort(self, code: int = 1) -> None:
        """End all processes at once, with an exit code."""

    def last_words(self, own: bytes, seconds: float) -> list[bytes | None]:
        """Tell all others why this rank ends, and return what each rank tells, None for one that says nothing in time.

        It waits for nothing else, so a rank can call it when something has failed, whatever the others do. A message
        has `_WORDS` bytes at most. Here nobody is heard but the rank itself.
        """
        return [own if rank == self.rank else None for rank in range(self.size)]

    def barrier(self) -> None:
        """Wait until all ranks have come here."""
        self.gathered(np.zeros(1))

    def agrees(self, message: bytes) -> bool:
        """Whether all ranks gave the same message; all get the same answer."""
        digest = np.frombuffer(hashlib.sha256(message).digest(), np.uint8)
        return bool(np.all(self.gathered(digest) == digest))

    def texts(self, own: bytes) -> list[bytes]:
        """Return all ranks' messages, which may differ in length, in the order of the ranks."""
        lengths = self.gathered(np.array([len(own)]))[:, 0]
        if not lengths.any():
            return [b""] * len(lengths)
        padded = np.frombuffer(own.ljust(int(lengths.max())), np.uint8)
        return [text.tobytes()[:length] for text, length in zip(self.gathered(padded), lengths, strict=True)]

    def difference(self, facts: Mapping[str, Any]) -> str | None:
        """Return a clause that says what the first rank that differs from rank 0 has instead; None if all agree.

        Parameters
        ----------
        facts : dict
            JSON-able, by what they are called. All ranks get the same clause.
        """
        own = json.dumps(facts, sort_keys=True, default=str).encode()
        if self.agrees(own):
            return None
        said = [json.loads(text) for text in self.texts(own)]
        rank = next(rank for rank, other in enumerate(said) if other != said[0])
        missing = object()
        names = [n for n in {**facts, **said[0], **said[rank]} if said[0].get(n, missing) != said[rank].get(n, missing)]
        here, there = (_shown(said[which].get(names[0])) for which in (rank, 0))
        more = f", and {len(names) - 1} more" if len(names) > 1 else ""
        return f"rank {rank} has {names[0]} {here}, rank 0 has {there}{more}"

    def sum(self, vector: HostArray, channel: str = CALLS) -> HostArray:
        """Return the sum of all ranks' vectors, in their type.

        Of a long vector, and of gradients for more than a few ranks, each rank gets one piece from everybody, adds
        these up, and sends the sum to everybody: it sends 2 (R - 1) / R times the vector's bytes to R - 1 others, as a
        ring does.
        """
        few = self.size * vector.size <= self._FEW
        if few and (channel == CALLS or self.size <= _FEW_RANKS):
            return in_order(self.gathered(vector, channel))
        ends = [vector.size * (rank + 1) // self.size for rank in range(self.size)]
        lengths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        return self.joined(in_order(self.exchanged(vector, lengths, channel)), lengths, channel)

    def add_up(self, vector: HostArray, channel: str = CALLS) -> None:
        """Replace a contiguous vector by the sum of all ranks' vectors, the same as that of `sum`."""
        vector[...] = self.sum(vector, channel)

    def team(self, model: Any, optimizer: Any = None, sync_batch_norm: bool = True) -> Any:
        """Return what a `xnn.Trainer` of a model asks of its ranks."""
        from xnn.distributed.ranks import Ranks  # which needs the trainer's data, while a world needs nothing

        return Ranks(self, model, optimizer, sync_batch_norm)

    def total(self, x: Array, backend: Backend) -> Array:
        """Return the sum of all ranks' arrays of a backend, added up in float64."""
        own = backend.to_numpy(x)
        summed = self.sum(np.asarray(own, np.float64).reshape(-1))
        return backend.asarray(summed.reshape(own.shape).astype(own.dtype, copy=False))


def _shown(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def in_order(arrays: HostArray, total: HostArray | None = None) -> HostArray:
    """Add up rows one by one, in `total` if it is given; NumPy's own sum would choose its order by itself."""
    if total is None:
        total = np.empty_like(arrays[0])
    total[...] = arrays[0]
    for array in arrays[1:]:
        total += array
    return total


def joined(vectors: Sequence[HostArray], dtype: str) -> HostArray:
    """Return vectors one after the other; there may be none, and one alone is not copied."""
    return vectors[0] if len(vectors) == 1 else np.concatenate([np.empty(0, dtype), *vectors])
