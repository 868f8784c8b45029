"""A program whose steps `benchmarks.device` counts: it trains on CuPy, or predicts, with random images like CIFAR-10's.

Usage: ``python -m benchmarks.device_steps CASE``, a number of `CASES`. It prints how many steps it measured and the
seconds that they took on the host. In the log of an emulated device the marks ``begin`` and ``end`` stand around them,
and a mark ``moved BYTES`` follows each launch of one of xnn's own kernels, of which the device sees only pointers.
"""

import ctypes
import json
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from xnn import data
from xnn.data.batches import _BLOCK
from xnn.errors import NonFiniteLoss
from xnn.runs import Settings
from xnn.runs.assembly import prepare
from xnn.runs.trainer import make_trainer
from xnn.training import Callback

FIRST, STEPS = 4, 20
"""Steps before those that are measured, which compile kernels; and how many are measured, at least."""


class Case(NamedTuple):
    """A row of the table: a recipe with other settings, and whether it is trained."""

    recipe: str
    batch: int
    settings: dict[str, Any]
    trains: bool = True

    @property
    def title(self) -> str:
        """Name of the case in tables."""
        what = "training" if self.trains else "inference"
        return ", ".join([self.recipe, what, f"batch {self.batch}", *map(str, self.settings.values())])


CASES = [
    Case("speed", 1000, {"precision": "float16"}),
    Case("speed", 1000, {"precision": "tf32"}),
    Case("cnn", 500, {"precision": "float16"}),
    Case("cnn", 500, {"precision": "float32"}),
    Case("mlp", 128, {}),
    Case("lab6", 1, {}),
    Case("residual", 128, {"optimizer": "adam"}),
    *(Case(recipe, batch, {"precision": "float16"}, trains=False) for recipe in ("speed", "cnn") for batch in (1, 256)),
]


def random_images() -> data.Dataset:
    """Return a data set as large as CIFAR-10: what a step asks of a device does not depend on the pixels."""
    random = np.random.default_rng(0)

    def split(count: int) -> data.Split:
        return data.Split(random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), np.arange(count) % 10)

    return data.Dataset("cifar10", split(50_000), split(1000), tuple(f"class {i}" for i in range(10)), "random")


def measured(case: Case) -> tuple[int, int]:
    """Return the steps before those that are measured, and their number: FIRST and STEPS or more, of whole blocks."""
    in_block = max(_BLOCK // case.batch, 1)
    return math.ceil(FIRST / in_block) * in_block, math.ceil(STEPS / in_block) * in_block


class Marks(Callback):
    """Notes when the measured steps begin, and stops the training after them."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps = first, steps
        self.times: list[float] = []

    def step_end(self, trainer: Any) -> None:
        """Begin or end."""
        if trainer.step == self.first:
            mark("begin")
            self.times.append(time.perf_counter())
        elif trainer.step == self.first + self.steps:
            self.times.append(time.perf_counter())
            mark("end")
            trainer.stop_reason = "measured"


def train(case: Case, job: Any) -> float:
    """Return the seconds of the measured steps."""
    marks = Marks(*measured(case))
    try:
        make_trainer(job, [marks]).fit(job.train, epochs=1)
    except NonFiniteLoss:
        # Where the device only counts, losses are anything.
        if len(marks.times) < 2:
            raise
    return marks.times[1] - marks.times[0]


def predict(case: Case, job: Any) -> float:
    """Return the seconds of as many forward passes."""
    first, steps = measured(case)
    x = job.model.backend.asarray(np.zeros((case.batch, 32, 32, 3)), "float32")
    with job.model.computing():
        for _ in range(first):
            job.model(x)
        mark("begin")
        before = time.perf_counter()
        for _ in range(steps):
            job.model(x)
        seconds = time.perf_counter() - before
        mark("end")
    return seconds


def mark(text: str) -> None:
    """Write a mark to the log of an emulated device, if there is one."""
    _emu_mark(text.encode())


_emu_mark: Callable[[bytes], object] = getattr(ctypes.CDLL(None), "emu_mark", lambda text: None)


def main() -> None:
    """Run the program from the command line."""
    case = CASES[int(sys.argv[1])]
    with mock.patch("xnn.data.load", return_value=random_images()), ExitStack() as stack:
        settings = Settings(
            dataset="cifar10",
            recipe=case.recipe,
            backend="cupy",
            batch_size=case.batch,
            log_every=10**9,
            **case.settings,
        )
        job = prepare(settings)
        if "CUDAEMU_LOG" in os.environ:
            from xnn.kernels.cupy.launching import watched

            stack.enter_context(watched(lambda name, moved: mark(f"moved {moved}")))
        seconds = train(case, job) if case.trains else predict(case, job)
    print(json.dumps({"steps": measured(case)[1], "seconds": seconds}))


if __name__ == "__main__":
    main()
