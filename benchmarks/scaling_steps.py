"""A program whose steps `benchmarks.scaling` times, started once or, by ``mpiexec``, as several ranks.

Usage: ``python -m benchmarks.scaling_steps RECIPE BATCH STEPS [LATENCY BYTES_PER_SECOND]``. The images are random ones
like CIFAR-10's. With the last two arguments each message takes longer, as over a slow wire: by what
`benchmarks.scaling_model.Wire` says. Rank 0 prints JSON: the seconds of the steps, and for each step the bytes that it
sent, the seconds that its gradients were on the way, and those it waited.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar
from unittest import mock

from benchmarks.device_steps import random_images
from benchmarks.scaling_model import Wire
from xnn.distributed import end_all_by_errors
from xnn.distributed.mpi_world import MPIWorld
from xnn.distributed.world import CALLS
from xnn.runs import Settings
from xnn.runs.assembly import Job, prepare
from xnn.runs.trainer import make_trainer

WARM_UP = 2
"""Steps that do not count."""


class SlowWorld(MPIWorld):
    """Ranks whose messages go over a wire that is longer than it is."""

    wire = Wire(0.0, math.inf)
    _under_way: ClassVar[set[str]] = set()
    """Channels with a message under way: it may be made of others, and counts once."""

    def _slowly(self, channel: str, size: int, send: Callable[[], Any]) -> Any:
        if channel in self._under_way:
            return send()
        self._under_way.add(channel)
        try:
            result = send()
        finally:
            self._under_way.remove(channel)
        time.sleep(self.wire.seconds(self.size, 1, size))
        return result

    def gathered(self, own: Any, channel: str = CALLS) -> Any:
        """Gather, slowly."""
        return self._slowly(channel, own.nbytes * (self.size - 1), lambda: MPIWorld.gathered(self, own, channel))

    def exchanged(self, own: Any, lengths: Any, channel: str = CALLS) -> Any:
        """Exchange, slowly."""
        mine = lengths[self.rank] * own.itemsize
        size = max(own.nbytes - mine, mine * (self.size - 1))
        return self._slowly(channel, size, lambda: MPIWorld.exchanged(self, own, lengths, channel))

    def joined(self, own: Any, lengths: Any, channel: str = CALLS) -> Any:
        """Join, slowly."""
        size = sum(lengths) * own.itemsize * (self.size - 1) // self.size
        return self._slowly(channel, size, lambda: MPIWorld.joined(self, own, lengths, channel))

    def _swap(self, received: Any, sent: Any, channel: str) -> None:
        size = max(sum(each.nbytes for each in messages.values()) for messages in (received, sent))
        self._slowly(channel, size, lambda: MPIWorld._swap(self, received, sent, channel))


def job_of(recipe: str, batch: int) -> Job:
    """Return a recipe with all it needs, for random images like CIFAR-10's."""
    with mock.patch("xnn.data.load", return_value=random_images()):
        return prepare(Settings(dataset="cifar10", recipe=recipe, backend="numpy", batch_size=batch, log_every=10**6))


def train(trainer: Any, data: Any, steps: int, note: Callable[[], Any]) -> None:
    """Train for some steps; call `note` where those begin that count, and where the last one has ended.

    A callback would have all ranks complete all gradients, since it might read them. A schedule may not.
    """
    rate = trainer.schedule or (lambda step: trainer.optimizer.lr)

    def schedule(step: int) -> float:
        if step >= WARM_UP and trainer.stop_reason is None:
            note()
            if step == WARM_UP + steps:
                trainer.request_stop("measured")
        return float(rate(step))

    trainer.schedule = schedule
    trainer.fit(data, epochs=(WARM_UP + steps) // len(data) + 1)


def main() -> None:
    """Run the program from the command line."""
    recipe, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    world = MPIWorld()
    if len(sys.argv) > 4:
        world = SlowWorld()
        world.wire = Wire(float(sys.argv[4]), float(sys.argv[5]))
    end_all_by_errors(world)
    job = job_of(recipe, batch)
    trainer = make_trainer(job, [], world)
    found: list[tuple[float, ...]] = []

    def note() -> None:
        sums = getattr(trainer.team, "gradients", None)
        found.append((time.perf_counter(), world.sent, *((sums.seconds, sums.waited) if sums else (0.0, 0.0))))

    train(trainer, job.train, steps, note)
    seconds, sent, gradients, waited = (after - before for before, after in zip(found[0], found[-1], strict=True))
    figures = {"seconds": seconds, "images": steps * batch, "sent": sent / steps}
    figures |= {"gradients": gradients / steps, "waited": waited / steps}
    figures["parameters"] = sum(run.stop - run.start for run in job.model.segments())
    if world.rank == 0:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
