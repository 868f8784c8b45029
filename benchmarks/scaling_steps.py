"""A program whose steps `benchmarks.scaling` times, started once or, by ``mpiexec``, as several ranks.

Usage: ``python -m benchmarks.scaling_steps RECIPE BATCH STEPS [LATENCY BYTES_PER_SECOND]``. The images are random ones
like CIFAR-10's. With the last two arguments each message of gradients takes that much longer, as over a slow wire. Rank
0 prints JSON: the seconds of the steps, and for each step the bytes that it sent, the seconds that its gradients were
on the way, and those it waited.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from benchmarks.device_steps import random_images
from xnn.distributed.mpi_world import MPIWorld
from xnn.distributed.world import CALLS, GRADIENTS
from xnn.runs import Settings
from xnn.runs.assembly import make_trainer, prepare
from xnn.training import Callback


class SlowWorld(MPIWorld):
    """Ranks whose gradients go over a wire with that latency, in seconds, and so many bytes a second."""

    latency = bandwidth = 0.0
    _under_way = False

    def _slowly(self, channel: str, send: Callable[[], Any]) -> Any:
        if channel != GRADIENTS or self._under_way:
            return send()
        sent, self._under_way = self.sent, True
        try:
            result = send()
        finally:
            self._under_way = False
        time.sleep(self.latency + (self.sent - sent) / self.bandwidth)
        return result

    def add_up(self, vector: Any, channel: str = CALLS) -> None:
        """Add up, slowly."""
        self._slowly(channel, lambda: MPIWorld.add_up(self, vector, channel))

    def gathered(self, own: Any, channel: str = CALLS) -> Any:
        """Gather, slowly."""
        return self._slowly(channel, lambda: MPIWorld.gathered(self, own, channel))

    def exchanged(self, pieces: Any, channel: str = CALLS) -> Any:
        """Exchange, slowly."""
        return self._slowly(channel, lambda: MPIWorld.exchanged(self, pieces, channel))

    def joined(self, own: Any, lengths: Any, channel: str = CALLS) -> Any:
        """Join, slowly."""
        return self._slowly(channel, lambda: MPIWorld.joined(self, own, lengths, channel))


class Timing(Callback):
    """Times the steps between the first two intervals, and stops.

    A `step_end` of its own would have all ranks complete all gradients, since it might read them.
    """

    def __init__(self, counts: Callable[[], tuple[float, ...]]) -> None:
        self.counts = counts
        self.times: list[float] = []
        self.found: list[tuple[float, ...]] = []

    def interval(self, trainer: Any, row: Any) -> None:
        """Note what has been so far."""
        self.times.append(time.perf_counter())
        self.found.append(self.counts())
        if len(self.times) == 2:
            trainer.request_stop("measured")


def main() -> None:
    """Run the program from the command line."""
    recipe, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    world = SlowWorld() if len(sys.argv) > 4 else MPIWorld()
    if isinstance(world, SlowWorld):
        world.latency, world.bandwidth = float(sys.argv[4]), float(sys.argv[5])
    with mock.patch("xnn.data.load", return_value=random_images()):
        settings = Settings(dataset="cifar10", recipe=recipe, backend="numpy", batch_size=batch, log_every=steps)
        job = prepare(settings)
    trainer: Any = None

    def counts() -> tuple[float, ...]:
        sums = getattr(trainer.team, "gradients", None)
        return (world.sent, *((sums.seconds, sums.waited) if sums else (0.0, 0.0)))

    timing = Timing(counts)
    trainer = make_trainer(job, [timing], world)
    trainer.fit(job.train, epochs=2 * steps // len(job.train) + 1)
    sent, gradients, waited = ((after - before) / steps for before, after in zip(*timing.found, strict=True))
    seconds = timing.times[1] - timing.times[0]
    figures = {"seconds": seconds, "images": steps * batch, "sent": sent, "gradients": gradients, "waited": waited}
    figures["parameters"] = sum(run.stop - run.start for run in job.model.segments())
    if world.rank == 0:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
