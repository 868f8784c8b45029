"""Measure whether memory and time per image depend on the number of images, up to two million in a mapped file.

Usage: ``python -m benchmarks.data_size [--images N ...] [--batch N] [--steps N] [--threads N] [--json FILE]``. Linux
only: it reads ``/proc/self/status``. Each size has its own process, which maps a sparse file of that many images of
CIFAR's shape and trains 3072-256-10 on it, through `xnn.data.Batches`, shuffled, for the given number of steps, over as
many epochs as that takes. Memory is what the process holds for itself (RssAnon), the largest of ten readings; pages of
the file that the system keeps in its cache are not counted. Time per image is the median over ten equal shares of the
steps, without the first share.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import cores, pin

SHAPE = (32, 32, 3)
_SHARES = 10


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, nargs="+", default=[1, 1_000, 50_000, 2_000_000], help="sizes of the training set"
    )
    parser.add_argument("--batch", type=int, default=1, help="images a batch (default: 1)")
    parser.add_argument("--steps", type=int, default=5_000, help="steps to train for (default: 5000)")
    parser.add_argument("--threads", type=int, default=cores(), help="threads (default: all cores)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(*arguments.images, arguments.batch, arguments.threads) < 1 or arguments.steps < _SHARES:
        parser.error(f"--images, --batch and --threads must be positive, --steps {_SHARES} or more")
    pin(arguments.threads)
    if arguments.measure:
        print(json.dumps(measure(arguments.images[0], arguments.batch, arguments.steps)))
        return
    print("| images | batch | microseconds an image | memory, MiB |")
    print("|---|---|---|---|")
    figures = []
    for images in arguments.images:
        row = in_process(images, arguments)
        print(f"| {images} | {arguments.batch} | {row['microseconds']:.0f} | {row['mib']:.0f} |", flush=True)
        figures.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def in_process(images: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `measure` finds in a new process."""
    command = [sys.executable, "-m", "benchmarks.data_size", "--measure", "--images", str(images)]
    command += [f"--{name}={getattr(arguments, name)}" for name in ("batch", "steps", "threads")]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def measure(images: int, batch: int, steps: int) -> dict[str, Any]:
    """Train on a mapped file of that many images, and return microseconds per image and MiB."""
    import numpy as np

    import xnn
    from xnn import nn, optim
    from xnn.data import Batches, Normalization, Split
    from xnn.training import Callback

    backend = xnn.backend("numpy")
    model = nn.Sequential(nn.Flatten(), nn.Linear(256), nn.ReLU(), nn.Linear(10)).build(SHAPE, backend=backend)
    seconds, peak, began = [], 0, 0.0

    class Watch(Callback):
        def fit_begin(self, trainer: xnn.Trainer) -> None:
            nonlocal began
            began = time.perf_counter()

        def step_end(self, trainer: xnn.Trainer) -> None:
            nonlocal began, peak
            if trainer.step % (steps // _SHARES) == 0:
                now = time.perf_counter()
                seconds.append(now - began)
                peak = max(peak, own_memory())
                began = time.perf_counter()
            if trainer.step == steps:
                trainer.request_stop("all steps are done")

    with tempfile.TemporaryDirectory() as folder:
        mapped = np.memmap(Path(folder, "images"), np.uint8, "w+", shape=(images, *SHAPE))
        labels = np.memmap(Path(folder, "labels"), np.int64, "w+", shape=(images,))
        normalization = Normalization(mean=(0.5,) * 3, std=(0.25,) * 3)
        batches = Batches(Split(mapped, labels), batch, backend=backend, normalization=normalization)
        xnn.Trainer(model, optim.SGD(model, lr=1e-4), callbacks=[Watch()]).fit(batches, epochs=steps)
    share = statistics.median(seconds[1:])
    return {
        "images": images,
        "batch": batch,
        "microseconds": share / (steps // _SHARES) / min(batch, images) * 1e6,
        "mib": peak / 1024,
    }


def own_memory() -> int:
    """Return the KiB that this process holds and that belong to no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


if __name__ == "__main__":
    main()
