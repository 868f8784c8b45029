"""Adding up the gradients of all ranks while the backward pass goes on."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from xnn._typing import Array
from xnn.data.splits import HostArray
from xnn.distributed.world import GRADIENTS, World, in_order, joined
from xnn.nn.layer import Layer
from xnn.nn.parameters import Parameter

_BUCKET = 2**16
"""Numbers that are sent together, at least, where there are so many: each message takes its time, however short."""


@dataclass(eq=False)
class _Bucket:
    """A run of the flat vector: trainable parameters next to each other, at `places`, all owned or none.

    `missing` holds the numbers of those that have no new gradient yet.
    """

    start: int
    stop: int
    is_owned: bool
    parameters: list[Parameter] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)

    @property
    def reached(self) -> list[tuple[int, int]]:
        """The places that have new gradients."""
        return [place for number, place in enumerate(self.places) if number not in self.missing]


class GradientSum:
    """Replaces a model's gradients by the sum of all ranks' gradients.

    Between `begin` and `finish` comes one backward pass. As soon as all parameters of a bucket have their gradients, a
    thread of its own adds them up, while the pass goes on to earlier layers. All ranks compute the same layers in the
    same order, so they send the same buckets in the same order. A parameter that the pass does not reach, such as that
    of a layer that was passed over, keeps the gradient it has.

    Parameters
    ----------
    world : World
    model : xnn.nn.Layer
        Built.
    owners : dict of int to int
        Parameters of which only one rank needs the sum: that rank, by where they begin in the flat vector.

    Attributes
    ----------
    is_whole : bool
        Whether the last sums went to all ranks.
    seconds, waited : float
        How long the thread has been at work in all, and how long others have waited for it: what was not hidden.
    """

    def __init__(self, world: World, model: Layer, owners: Mapping[int, int] | None = None) -> None:
        self.world, self.model, self._owners = world, model, owners or {}
        self.is_whole = True
        self.seconds = self.waited = 0.0
        self._buckets: list[_Bucket] = []
        self._made_for: tuple[bool, ...] = ()
        self._sums: list[Future[None]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="xnn-gradients")

    def begin(self, whole: bool = True) -> None:
        """Await the gradients of a backward pass; unless `whole`, only owners get the sums of what they own."""
        self.is_whole = whole or not self._owners
        trainable = tuple([parameter.trainable for parameter in self.model._all_parameters.values()])
        if trainable != self._made_for:
            self._buckets, self._made_for = list(_buckets(self.model, self._owners)), trainable
        wait(self._sums)  # of a pass that failed
        self._sums = []
        for bucket in self._buckets:
            bucket.missing = set(range(len(bucket.parameters)))
            for number, parameter in enumerate(bucket.parameters):
                parameter.taken = partial(self._note, bucket, number)

    def abandon(self) -> None:
        """Await nothing more of a backward pass, as after an error in it."""
        for bucket in self._buckets:
            for parameter in bucket.parameters:
                parameter.taken = None

    def finish(self) -> None:
        """Wait until the model's gradients are the sums; raise what went wrong on the way."""
        self.abandon()
        for bucket in self._buckets:
            if bucket.missing:
                # The same ones are missing on all ranks.
                for start, stop, places in _runs(bucket.reached):
                    self._send(_Bucket(start, stop, bucket.is_owned, places=places))
        self.settle()

    def soon(self, call: Callable[[], None]) -> None:
        """Have the thread make a call, after all that it was given before."""
        self._sums.append(self._thread.submit(self._timed, call))

    def settle(self) -> None:
        """Wait until the thread has done all that it was given; raise what went wrong."""
        begun = time.perf_counter()
        self.world.hurries = True
        try:
            for each in self._sums:
                each.result()
        finally:
            self.world.hurries = False
        self._sums = []
        self.waited += time.perf_counter() - begun

    @property
    def places(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Where trainable parameters begin and end: those that this rank owns, and those that nobody owns."""
        own = [place for bucket in self._buckets if bucket.is_owned for place in bucket.places]
        own = [place for place in own if self._owners[place[0]] == self.world.rank]
        return own, [(bucket.start, bucket.stop) for bucket in self._buckets if not bucket.is_owned]

    def _note(self, bucket: _Bucket, number: int) -> None:
        if number in bucket.missing:
            bucket.missing.remove(number)
            if not bucket.missing:
                self._send(bucket)

    def _send(self, bucket: _Bucket) -> None:
        flat = self.model.gradients.unread()[0]
        self.soon(partial(self._sum, flat, bucket))

    def _timed(self, call: Callable[[], None]) -> None:
        begun = time.perf_counter()
        call()
        self.seconds += time.perf_counter() - begun

    def _sum(self, flat: Array, bucket: _Bucket) -> None:
        backend = self.model.backend
        # Overflow shows up as a loss that is not finite; NumPy's warnings are those of a thread.
        with backend.current(), np.errstate(over="ignore", invalid="ignore"):
            if bucket.is_owned and not self.is_whole:
                self._sum_at_owners(flat, bucket)
            else:
                piece = flat[bucket.start : bucket.stop]
                if isinstance(piece, np.ndarray):
                    self.world.add_up(piece, GRADIENTS)
                else:
                    piece[...] = backend.asarray(self.world.sum(backend.to_numpy(piece), GRADIENTS))

    def _sum_at_owners(self, flat: Array, bucket: _Bucket) -> None:
        """Do the first half of a sum: send each piece to its owner, who adds them up."""
        backend, world, owned = self.model.backend, self.world, dict[int, list[tuple[int, int]]]()
        for start, stop in bucket.places:
            owned.setdefault(self._owners[start], []).append((start, stop))
        vectors = {
            owner: joined([backend.to_numpy(flat[a:b]) for a, b in places], self.model.dtype)
            for owner, places in owned.items()
        }
        lengths = {owner: len(vector) for owner, vector in vectors.items()}
        if world.size * max(lengths.values()) <= 2 * sum(lengths.values()):
            total = in_order(self._exchanged(vectors))
        else:
            total = self._summed_by_all(vectors)
        place = 0
        for start, stop in owned.get(world.rank, []):
            flat[start:stop] = backend.asarray(total[place : place + stop - start])
            place += stop - start

    def _summed_by_all(self, vectors: Mapping[int, HostArray]) -> HostArray:
        """Return the sum of what this rank owns, where one rank owns so much that it would get too much from everybody.

        Each rank adds up one part of every owner's vector first, and sends the sum to the owner. Zeros may follow.
        """
        world, place = self.world, 0
        lengths = [-(-len(vector) // world.size) for vector in vectors.values()]
        parts = np.zeros((world.size, sum(lengths)), self.model.dtype)
        for vector, length in zip(vectors.values(), lengths, strict=True):
            padded = np.zeros(world.size * length, self.model.dtype)
            padded[: len(vector)] = vector
            parts[:, place : place + length] = padded.reshape(world.size, length)
            place += length
        sums = in_order(world.exchanged(parts.reshape(-1), [place] * world.size, GRADIENTS))
        pieces = np.split(sums, np.cumsum(lengths)[:-1])
        return self._exchanged(dict(zip(vectors, pieces, strict=True))).reshape(-1)

    def _exchanged(self, vectors: Mapping[int, HostArray]) -> HostArray:
        """Send some ranks a vector each, and return what all ranks sent to this one."""
        lengths = [len(vectors[rank]) if rank in vectors else 0 for rank in range(self.world.size)]
        everything = joined([vectors[rank] for rank in sorted(vectors)], self.model.dtype)
        return self.world.exchanged(everything, lengths, GRADIENTS)


def _runs(places: Iterable[tuple[int, int]]) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """Return the places that stand next to each other together: where each run starts and stops, and its places."""
    runs: list[tuple[int, int, list[tuple[int, int]]]] = []
    for start, stop in places:
        if runs and runs[-1][1] == start:
            first, _, before = runs.pop()
            runs.append((first, stop, [*before, (start, stop)]))
        else:
            runs.append((start, stop, [(start, stop)]))
    return runs


def _buckets(model: Layer, owners: Mapping[int, int]) -> Iterator[_Bucket]:
    """Cut the trainable parts of the flat vector into buckets; the parameters of each stand next to each other."""
    starts = model.parameters.starts
    bucket: _Bucket | None = None
    for name in sorted(starts, key=starts.__getitem__):
        parameter = model._all_parameters[name]
        size = int(np.prod(parameter.shape))
        if not parameter.trainable or not size:
            continue
        start, is_owned = starts[name], starts[name] in owners
        is_full = bucket is not None and bucket.stop - bucket.start >= _BUCKET
        if bucket is not None and (is_full or bucket.stop != start or bucket.is_owned != is_owned):
            yield bucket
            bucket = None
        if bucket is None:
            bucket = _Bucket(start, start, is_owned)
        bucket.stop += size
        bucket.parameters.append(parameter)
        bucket.places.append((start, bucket.stop))
    if bucket is not None:
        yield bucket
