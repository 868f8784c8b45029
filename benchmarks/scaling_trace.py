"""A program that notes what a rank of many does in a step, and when, without the others.

Usage: ``python -m benchmarks.scaling_trace RECIPE BATCH STEPS RANKS:IMAGES...``, for each number of ranks and of images
that each of them has in a step. It prints JSON: the events of `benchmarks.scaling_model`. Started by ``mpiexec``, as
many ranks compute side by side, as those of one machine do, and it also prints this machine's own wire.
"""

import json
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.scaling_model import Event, Step, Wire
from benchmarks.scaling_steps import job_of, train
from xnn.data.splits import HostArray
from xnn.distributed import end_all_by_errors
from xnn.distributed.gradients import GradientSum
from xnn.distributed.mpi_world import MPIWorld
from xnn.distributed.ranks import Ranks
from xnn.distributed.world import CALLS, World
from xnn.functional.replicas import Replicas, among
from xnn.runs.assembly import Job
from xnn.runs.trainer import make_trainer

_LONG = 2**21
"""Numbers in a message that shows how many bytes go over a wire in a second."""


class Recorder:
    """Notes events by a clock that stands still while the main thread waits for others."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._begun = self._lost = 0.0

    def begin(self) -> None:
        """Begin a step."""
        self.events, self._begun, self._lost = [], time.perf_counter(), 0.0

    def now(self) -> float:
        """Return the seconds since the step began."""
        return time.perf_counter() - self._begun - self._lost

    def add(self, kind: str, messages: int = 0, size: float = 0.0) -> dict[str, Any]:
        """Note an event that happens now."""
        self.events.append({"kind": kind, "at": self.now(), "messages": messages, "bytes": size, "local": 0.0})
        return self.events[-1]

    def lose(self, since: float) -> None:
        """Take the time since then out of the clock."""
        self._lost += time.perf_counter() - since


class Echo(World):
    """A world in which all ranks do as this one does: what it sends comes back from everybody."""

    def __init__(self, size: int, recorder: Recorder) -> None:
        self.rank = self.host = self.local_rank = 0
        self.size, self.hosts, self.local_size = size, size, 1
        self.recorder = recorder
        self.summed: dict[str, Any] = {}
        """The event of the bucket that is being summed."""

    def _note(self, channel: str, size: float, begun: float) -> None:
        if channel == CALLS:
            self.recorder.add("call", 1, size)["at"] -= time.perf_counter() - begun
        else:
            self.summed["messages"] += 1
            self.summed["bytes"] += size
        self._lose(channel, begun)

    def _lose(self, channel: str, begun: float) -> None:
        """Count nothing that has been done since then."""
        if channel == CALLS:
            self.recorder.lose(begun)
        else:
            self.summed["local"] -= time.perf_counter() - begun

    def sum(self, vector: HostArray, channel: str = CALLS) -> HostArray:
        """Return as many times the vector; what comes of the messages is another piece of it for each rank."""
        super().sum(vector, channel)
        begun = time.perf_counter()
        total: HostArray = self.size * vector
        self._lose(channel, begun)
        return total

    def gathered(self, own: HostArray, channel: str = CALLS) -> HostArray:
        """Return as many copies."""
        begun = time.perf_counter()
        everything = np.broadcast_to(own, (self.size, *own.shape))
        self._note(channel, own.nbytes * (self.size - 1), begun)
        return everything

    def exchanged(self, own: HostArray, lengths: Sequence[int], channel: str = CALLS) -> HostArray:
        """Return copies of what is for this rank; who gets the longest piece, from everybody, takes longest."""
        begun = time.perf_counter()
        everything = np.broadcast_to(own[: lengths[0]], (self.size, lengths[0]))
        sent = own.nbytes * (self.size - 1) / self.size
        self._note(channel, max(sent, max(lengths) * own.itemsize * (self.size - 1)), begun)
        return everything

    def joined(self, own: HostArray, lengths: Sequence[int], channel: str = CALLS) -> HostArray:
        """Return what this rank has, as often as fits: weights must stay like weights."""
        begun = time.perf_counter()
        everything = np.resize(own, sum(lengths))
        self._note(channel, everything.nbytes * (self.size - 1) / self.size, begun)
        return everything

    def broadcast(self, message: bytes) -> bytes:
        """Return it."""
        return message

    def abort(self, code: int = 1) -> None:
        """End the program."""
        sys.exit(code)

    def team(self, model: Any, optimizer: Any = None, sync_batch_norm: bool = True) -> Any:
        """Return a team whose sums are watched."""
        return WatchedRanks(self, model, optimizer, sync_batch_norm)


class WatchedSum(GradientSum):
    """A sum of gradients that tells when its buckets are full, and how long they take."""

    world: Echo

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._events: deque[dict[str, Any]] = deque()

    def soon(self, call: Any) -> None:
        """Note that the thread has something to do."""
        self._events.append(self.world.recorder.add("bucket"))
        super().soon(call)

    def _timed(self, call: Any) -> None:
        self.world.summed, begun = self._events.popleft(), time.perf_counter()
        super()._timed(call)
        self.world.summed["local"] += time.perf_counter() - begun

    def settle(self) -> None:
        """Wait, off the clock."""
        recorder, begun = self.world.recorder, time.perf_counter()
        super().settle()
        recorder.lose(begun)
        recorder.add("wait")


class WatchedRanks(Ranks):
    """A team with a watched sum, and as many images a rank as it is told."""

    images_a_rank = 0

    def __init__(self, world: Echo, *arguments: Any) -> None:
        super().__init__(world, *arguments)
        self.gradients = WatchedSum(world, arguments[0], self.gradients._owners)

    def shared(self, data: Any) -> Any:
        """Return batches with so many images for each rank."""
        return Alike(data, self)


class Alike:
    """The first images of each batch, as one of many parts that are like it."""

    def __init__(self, data: Any, ranks: WatchedRanks) -> None:
        self._data, self._ranks = data, ranks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def __len__(self) -> int:
        return len(self._data)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of an epoch."""
        most, size = self._ranks.images_a_rank, self._ranks.world.size
        for _, part, batch in self._data.parts(epoch, start, lambda images: slice(0, min(images, most))):
            with among(Replicas(self._ranks.total, 0, part.stop, part.stop * size)):
                yield batch


def trace(job: Job, steps: int, ranks: int, images: int, meet: Callable[[], object]) -> Step:
    """Return what a rank does in a step, by the medians over some.

    Parameters
    ----------
    job : Job
        Of which a batch has `images` images at least.
    steps, ranks, images : int
    meet : callable
        Waits for those that compute side by side.
    """
    recorder, found = Recorder(), []
    state = [(each.flat, each.flat.copy()) for each in (job.model.parameters, job.model.buffers)]
    trainer: Any = make_trainer(job, [], Echo(ranks, recorder))
    data: Any = job.train
    if ranks == 1:
        data = Alone(job.train, images)
    else:
        trainer.team.images_a_rank = images

    def note() -> None:
        found.append((recorder.now(), recorder.events))
        meet()
        recorder.begin()

    train(trainer, data, steps, note)
    for vector, before in state:
        vector[...] = before
    return medians(found[1:])


class Alone(Alike):
    """The first images of each batch, for a process alone."""

    def __init__(self, data: Any, images: int) -> None:
        self._data, self._images = data, images

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of an epoch."""
        for _, _, batch in self._data.parts(epoch, start, lambda images: slice(0, min(images, self._images))):
            yield batch


def medians(found: Sequence[tuple[float, list[dict[str, Any]]]]) -> Step:
    """Return the step that most of them are like: now and then one has more to do, such as counting hits."""
    kinds = [tuple((event["kind"], event["messages"], event["bytes"]) for event in events) for _, events in found]
    usual = Counter(kinds).most_common(1)[0][0]
    alike = [step for step, kind in zip(found, kinds, strict=True) if kind == usual]
    events = []
    for same in zip(*(events for _, events in alike), strict=True):
        times = {name: statistics.median(event[name] for event in same) for name in ("at", "local")}
        events.append(Event(**{**same[0], **times}))
    return Step(statistics.median(seconds for seconds, _ in alike), tuple(events))


def own_wire(world: World) -> Wire:
    """Measure latency and bytes a second between the ranks of this machine."""

    def seconds(numbers: int) -> float:
        lengths, times = [numbers // world.size] * world.size, []
        vector = np.zeros(sum(lengths), np.float32)
        for _ in range(20):
            world.barrier()
            begun = time.perf_counter()
            world.exchanged(vector, lengths, CALLS)  # which are tried at once for longer than a message takes
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    short, long = seconds(world.size), seconds(_LONG)
    sent = 4 * _LONG * (world.size - 1) / world.size
    return Wire(short / Wire(1.0, 1.0).seconds(world.size, 1, 0), sent / max(long - short, 1e-9))


def main() -> None:
    """Run the program from the command line."""
    recipe, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    cases = [(int(ranks), int(images)) for ranks, images in (text.split(":") for text in sys.argv[4:])]
    neighbours = MPIWorld()
    end_all_by_errors(neighbours)
    job = job_of(recipe, batch)
    found = [asdict(trace(job, steps, *case, neighbours.barrier)) for case in cases]
    wire = own_wire(neighbours) if neighbours.size > 1 else None
    if neighbours.rank == 0:
        print(json.dumps({"steps": found, "wire": wire and asdict(wire)}))


if __name__ == "__main__":
    main()
