"""A world whose processes were started by ``mpiexec`` or ``srun``, and talk by MPI."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xnn.data.splits import HostArray
from xnn.distributed.world import CALLS, GRADIENTS, World, in_order
from xnn.errors import SettingError, to_install

_EAGER = {CALLS: 2e-3, GRADIENTS: 2e-5}
"""Seconds for which a request is tried at once. MPI itself would try forever, and take a core from whoever computes. A
sleep takes some hundred microseconds, for which the other ranks wait too, and then sleep in their turn. So who has
nothing to do but wait is patient; gradients are awaited beside the backward pass, which needs the core."""
_PAUSE, _LONGEST_PAUSE = 1e-5, 5e-5
"""Seconds between later tries."""
_PAIRWISE = 2**14
"""Numbers from which a piece goes straight to the rank that adds it up. With shorter ones the collective operations of
MPI make do with fewer messages, but they copy more."""
_LOOK = 0.3
"""Seconds of waiting after which a rank looks, again and again, whether another has ended."""
_WORDS_TAG, _ENDED_TAG = 0, 1
_LAST_LINES = 0.3
"""Seconds for what was printed to reach ``mpiexec``, which ends without reading the rest once a rank has aborted."""


class MPIWorld(World):
    """The processes of an MPI communicator.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, optional
        By default all processes that were started together.
    """

    def __init__(self, communicator: Any = None) -> None:
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:  # without an MPI, mpi4py raises the latter
            reason = str(error).partition("\n")[0]
            raise SettingError(
                f"several processes need mpi4py and an MPI ({reason}): {to_install('mpi')}, or --ranks 1"
            ) from None
        if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
            raise SettingError(
                "this MPI does not serve several threads of a process (MPI_THREAD_MULTIPLE), which xnn needs: "
                f"install another, for example by {to_install('mpi')}"
            )
        self._mpi = MPI
        given = MPI.COMM_WORLD if communicator is None else communicator
        self._channels = {CALLS: given.Dup(), GRADIENTS: given.Dup()}
        self._endings = given.Dup()
        self._buffers: dict[str, HostArray] = {}
        self._begun, self._finished = dict.fromkeys(self._channels, 0), dict.fromkeys(self._channels, 0)
        self._ended: dict[int, dict[str, int]] = {}
        self.rank, self.size = given.rank, given.size
        local = given.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = local.rank, local.size
        # A machine is known by the first of its ranks.
        first = np.array([self.rank])
        local.Bcast(first)
        firsts = np.unique(self.gathered(first))
        self.host, self.hosts = int(np.searchsorted(firsts, first[0])), len(firsts)

    def gathered(self, own: HostArray, channel: str = CALLS) -> HostArray:
        """Return all ranks' arrays, stacked in the order of the ranks."""
        own = np.ascontiguousarray(own)
        everything = np.empty((self.size, *own.shape), own.dtype)
        self.sent += own.nbytes * (self.size - 1)
        self._finish(self._channels[channel].Iallgather(own, everything), channel)
        return everything

    def exchanged(self, own: HostArray, lengths: Sequence[int], channel: str = CALLS) -> HostArray:
        """Send each rank its part of a vector, and return what all ranks sent to this one, stacked in their order."""
        own, length = np.ascontiguousarray(own), lengths[self.rank]
        if own.size < _PAIRWISE * self.size:
            received = np.empty((self.size, length), own.dtype)
            self.sent += own.nbytes - length * own.itemsize
            request = self._channels[channel].Ialltoallv([own, list(lengths)], [received, [length] * self.size])
            self._finish(request, channel)
            return received
        received = self._buffer((self.size, length), own.dtype, channel)
        parts = dict(enumerate(np.split(own, np.cumsum(lengths)[:-1])))
        received[self.rank] = parts.pop(self.rank)
        self._swap({rank: received[rank] for rank in parts}, parts, channel)
        return received

    def add_up(self, vector: HostArray, channel: str = CALLS) -> None:
        """Replace a vector by the sum of all ranks' vectors: pieces go from it and come to it without being copied."""
        length = -(-vector.size // self.size)
        if length < _PAIRWISE:
            super().add_up(vector, channel)
            return
        pieces = [vector[rank * length : (rank + 1) * length] for rank in range(self.size)]
        own, others = pieces[self.rank], [rank for rank in range(self.size) if rank != self.rank]
        received = self._buffer((self.size, own.size), own.dtype, channel)
        self._swap({rank: received[rank] for rank in others}, {rank: pieces[rank] for rank in others}, channel)
        received[self.rank] = own
        in_order(received, own)
        self._swap({rank: pieces[rank] for rank in others}, dict.fromkeys(others, own), channel)

    def _buffer(self, shape: tuple[int, ...], dtype: Any, channel: str) -> HostArray:
        """Return memory that is kept from call to call: that of a new array costs as much as a copy."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if channel not in self._buffers or self._buffers[channel].size < size:
            self._buffers[channel] = np.empty(size, np.uint8)
        memory: HostArray = self._buffers[channel][:size].view(dtype)
        return memory.reshape(shape)

    def _swap(self, received: Mapping[int, HostArray], sent: Mapping[int, HostArray], channel: str) -> None:
        """Exchange messages with other ranks, by their numbers."""
        through = self._channels[channel]
        requests = [through.Irecv(place, rank) for rank, place in received.items() if place.size]
        requests += [through.Isend(message, rank) for rank, message in sent.items() if message.size]
        self.sent += sum(message.nbytes for message in sent.values())
        self._finish(_All(self._mpi, requests), channel)

    def joined(self, own: HostArray, lengths: Sequence[int], channel: str = CALLS) -> HostArray:
        """Return all ranks' vectors, which are of these lengths, one after the other."""
        everything = np.empty(sum(lengths), own.dtype)
        self.sent += everything.nbytes - lengths[(self.rank + 1) % self.size] * own.itemsize
        self._finish(
            self._channels[channel].Iallgatherv(np.ascontiguousarray(own), [everything, list(lengths)]), channel
        )
        return everything

    def broadcast(self, message: bytes) -> bytes:
        """Return the message of rank 0."""
        channel = self._channels[CALLS]
        length = np.array([len(message)])
        self._finish(channel.Ibcast(length), CALLS)
        text = np.frombuffer(message.ljust(int(length[0]), b"\0")[: int(length[0])], np.uint8).copy()
        self._finish(channel.Ibcast(text), CALLS)
        return text.tobytes()

    def last_words(self, own: bytes, seconds: float) -> list[bytes | None]:
        """Tell all others why this rank ends, and return what each tells, None for one that says nothing in time."""
        words = np.zeros((self.size, self._WORDS), np.uint8)
        mine = np.frombuffer(own.ljust(self._WORDS, b"\0"), np.uint8)
        others = [rank for rank in range(self.size) if rank != self.rank]
        heard = {rank: self._endings.Irecv(words[rank], rank, _WORDS_TAG) for rank in others}
        open_requests = [*heard.values(), *(self._endings.Isend(mine, rank, _WORDS_TAG) for rank in others)]
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._mpi.Request.Testall(open_requests):
            time.sleep(0.005)
        found: list[bytes | None] = [
            words[rank].tobytes()[: len(own)] if rank not in heard or heard[rank].Test() else None
            for rank in range(self.size)
        ]
        found[self.rank] = own
        return found

    def leave(self) -> None:
        """Tell all others how many calls this rank has finished, when it makes no more.

        One that it has left in the middle is none of them: messages of it may be missing. Nobody is told where the
        program has ended MPI itself, for which all ranks wait for each other.
        """
        if self._mpi.Is_finalized():
            return
        finished = np.array([self._finished[channel] for channel in self._channels])
        notes = [self._endings.Isend(finished, rank, _ENDED_TAG) for rank in range(self.size) if rank != self.rank]
        end = time.monotonic() + _LOOK
        while not self._mpi.Request.Testall(notes) and time.monotonic() < end:
            time.sleep(_PAUSE)

    def _finish(self, request: Any, channel: str) -> None:
        """Wait for a request. A long message comes in pieces, and MPI takes the next one only when it is asked."""
        self._begun[channel] += 1
        begun = time.perf_counter()
        end, look, pause = begun + _EAGER[channel], begun + _LOOK, _PAUSE
        while not request.Test():
            now = time.perf_counter()
            if now > look:
                self._check_who_ended(channel)
                look = now + _LOOK
            if self.hurries or now < end:
                _let_others_run()
            else:
                time.sleep(pause)
                pause = min(2.0 * pause, _LONGEST_PAUSE)
        self._finished[channel] = self._begun[channel]

    def _check_who_ended(self, channel: str) -> None:
        """Raise an error if this rank waits in a call that another one, which has ended, will never finish."""
        status = self._mpi.Status()
        # Matched to one thread at a time: both channels may look.
        while note := self._endings.Improbe(tag=_ENDED_TAG, status=status):
            finished = np.zeros(len(self._channels), np.int64)
            note.Recv(finished)
            self._ended[status.Get_source()] = dict(zip(self._channels, finished.tolist(), strict=True))
        for rank, calls in sorted(self._ended.items()):
            if calls[channel] < self._begun[channel]:
                raise RuntimeError(
                    f"rank {rank} has ended, and rank {self.rank} would wait for it forever: "
                    "all ranks must make the same calls, so none may end before the others"
                )

    def abort(self, code: int = 1) -> None:
        """End all processes at once, with an exit code."""
        time.sleep(_LAST_LINES)
        self._mpi.COMM_WORLD.Abort(code)


class _All(NamedTuple):
    """Several requests, which are finished when each of them is."""

    mpi: Any
    requests: list[Any]

    def Test(self) -> bool:  # noqa: N802 - as MPI's own
        return bool(self.mpi.Request.Testall(self.requests))


def _let_others_run() -> None:
    """With more ranks than cores, one that computes goes first."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:  # Windows
        time.sleep(0.0)
