"""Compare the defaults with a sweep on small folders of pictures, tested on a thousand others.

Usage: ``python -m benchmarks.small_sets DATA_DIR RESULTS.jsonl [--only TEXT] [--seeds N] [--table]``. DATA_DIR holds
the official files of Fashion-MNIST, CIFAR-10 and CIFAR-100. Each seed draws its own training images, which are written
as PNG files in ``train/CLASS`` and ``test/CLASS`` and trained on as by ``xnn-train --dataset FOLDER --seed SEED``. The
sweep has a third, once and three times the default learning rate, the default batch size and twice that, the default
number of epochs and half of that. Each run adds a line to RESULTS.jsonl, and what is there already is not run again.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTED = 1_000
"""Fewest images that a set is tested on."""
RATES, BATCHES, LENGTHS = (1 / 3, 1.0, 3.0), (1, 2), (0.5, 1.0)
"""Multiples of the defaults."""


@dataclass(frozen=True)
class SmallSet:
    """So many training images of each of the first classes of a data set."""

    dataset: str
    classes: int
    each: int
    colour: str

    @property
    def images(self) -> int:
        """How many there are in all."""
        return self.classes * self.each


SETS = {
    "digits-100": SmallSet("digits", 10, 10, "grey, 8 x 8"),
    "digits-300": SmallSet("digits", 10, 30, "grey, 8 x 8"),
    "fashion-10x20": SmallSet("fashion-mnist", 10, 20, "grey, 28 x 28"),
    "cifar10-2x200": SmallSet("cifar10", 2, 200, "colour, 32 x 32"),
    "cifar100-20x20": SmallSet("cifar100", 20, 20, "colour, 32 x 32"),
}
Point = tuple[float, int, float]
"""Of the sweep: a learning rate, a batch size and a number of epochs, in multiples of the defaults."""
DEFAULT: Point = (1.0, 1, 1.0)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="folder with the official files, in folders or not")
    parser.add_argument("results", type=Path, help="file with a line of JSON for each run, which is added to")
    parser.add_argument("--only", default="", metavar="TEXT", help=f"sets whose name holds TEXT: {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each (default: 5)")
    parser.add_argument("--table", action="store_true", help="only print the table of what is there")
    arguments = parser.parse_args(argv)
    chosen = {name: each for name, each in SETS.items() if arguments.only in name}
    if not chosen:
        parser.error(f"--only {arguments.only}: no set's name holds this; there are {', '.join(SETS)}")
    if arguments.seeds < 1:
        parser.error("--seeds must be positive")
    if not arguments.table:
        run_all(chosen, arguments)
    print(table(chosen, read(arguments.results)))


def run_all(chosen: dict[str, SmallSet], arguments: argparse.Namespace) -> None:
    """Make the runs that have no line yet, and add it after each."""
    done = {(row["set"], row["seed"], *row["point"]) for row in read(arguments.results)}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XNN_CACHE_DIR"] = str(Path(folder, "cache"))
        for seed, (name, small) in itertools.product(range(arguments.seeds), chosen.items()):
            missing = [point for point in points() if (name, seed, *point) not in done]
            if missing:
                root = write_folder(Path(folder, f"{name}-{seed}"), small, seed, arguments.data_dir)
            for point in missing:
                row = {"set": name, "seed": seed, "point": point, **run(root, seed, point)}
                with arguments.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{name}, seed {seed}, {point}: {100 * row['accuracy']:.2f} %", flush=True)


def points() -> Iterator[Point]:
    """Return the points of the sweep, with the defaults first."""
    yield DEFAULT
    yield from (point for point in itertools.product(RATES, BATCHES, LENGTHS) if point != DEFAULT)


def read(results: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of results; none if there is no file."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return [json.loads(line) for line in lines]


def write_folder(root: Path, small: SmallSet, seed: int, data_dir: Path) -> Path:
    """Write the pictures that a seed draws of a data set's training images, and the same test images for each seed.

    The digits are too few for that: what is not drawn of all of them is the test.
    """
    import numpy as np
    from PIL import Image

    from xnn.data import load

    data = load(small.dataset, data_dir=None if small.dataset == "digits" else data_dir)
    images, labels = data.train.images, data.train.labels
    if small.dataset == "digits":
        images, labels = np.concatenate([images, data.test.images]), np.concatenate([labels, data.test.labels])
    random = np.random.default_rng(seed)
    for label in range(small.classes):
        order = random.permutation(np.flatnonzero(labels == label))
        parts = {"train": images[order[: small.each]]}
        if small.dataset == "digits":
            parts["test"] = images[order[small.each :]]
        else:
            there = np.flatnonzero(data.test.labels == label)
            parts["test"] = data.test.images[there[: -(-TESTED // small.classes)]]
        for part, pictures in parts.items():
            folder = root / part / f"{label:03d}"
            folder.mkdir(parents=True)
            for index, picture in enumerate(pictures):
                Image.fromarray(np.squeeze(picture)).save(folder / f"{index:04d}.png")
    return root


def run(root: Path, seed: int, point: Point) -> dict[str, Any]:
    """Train on a folder as the command does, and return what came of it."""
    from xnn.runs import Settings
    from xnn.runs.assembly import prepare
    from xnn.runs.settings import known
    from xnn.runs.trainer import make_trainer

    settings = prepare(Settings(dataset=str(root), seed=seed, backend="numpy")).settings
    lr, batch, epochs = point
    changed = {
        "lr": known(settings.lr) * lr,
        "batch_size": known(settings.batch_size) * batch,
        "epochs": math.ceil(known(settings.epochs) * epochs),
    }
    job = prepare(Settings(dataset=str(root), seed=seed, backend="numpy", **changed))
    trainer = make_trainer(job, [])
    began = time.perf_counter()
    trainer.fit(job.train, until=known(job.settings.epochs))
    seconds = time.perf_counter() - began
    tested = trainer.evaluate(job.test, batch_size=1_000)
    return {
        **changed,
        "steps": trainer.step,
        "tested": job.test.images,
        "accuracy": tested.accuracy,
        "loss": tested.loss,
        "seconds": seconds,
    }


def table(chosen: dict[str, SmallSet], rows: Iterable[dict[str, Any]]) -> str:
    """Return a Markdown table of the default beside the best of the sweep, as means over the seeds."""
    lines = [
        "| set | pictures | training images | tested on | default | best of the sweep | rate, batch, epochs | points |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by_point: dict[tuple[str, Point], list[dict[str, Any]]] = {}
    for row in rows:
        lr, batch, epochs = row["point"]
        by_point.setdefault((row["set"], (lr, batch, epochs)), []).append(row)
    for name, small in chosen.items():
        means = {
            point: statistics.fmean(row["accuracy"] for row in by_point[name, point])
            for point in points()
            if (name, point) in by_point
        }
        if DEFAULT not in means:
            continue
        best = max(means, key=means.__getitem__)
        one = by_point[name, best][0]
        lines.append(
            f"| {name} | {small.colour} | {small.images} in {small.classes} classes "
            f"| {one['tested']:,} | {100 * means[DEFAULT]:.2f} % | {100 * means[best]:.2f} % "
            f"| {one['lr']:.2g}, {one['batch_size']}, {one['epochs']} | {100 * (means[best] - means[DEFAULT]):.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
