"""Measure how much the weights of a run on CIFAR-100 help a folder with few pictures.

Usage: ``python -m benchmarks.fine_tuning DATA_DIR [--sets NAME ...] [--classes N] [--images N] [--tests N] [--epochs N]
[--choosing] [--seeds N ...] [--also OPTIONS ...] [--work DIR] [--threads N] [--json FILE]``. DATA_DIR holds the
official files of CIFAR-100 and of the sets.

Each set becomes a folder of PNG files, ``train/CLASS/`` and ``test/CLASS/``, with so many training images of each
class; another seed draws others, and the test images stay. Each folder is trained on from scratch and from the run on
CIFAR-100, by the command in the table; each way of training sees the same folders. ``--also`` adds ways of your own,
each with ``--from``: ``--also "--lr 0.02" "--lr 0.02 --body-lr 0.3"``. With ``--work`` the folders and the runs stay in
DIR, and what is there is not trained again. ``--choosing`` tests on other images than the table's.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import folders, machine, table

FROM_SCRATCH = "--dataset FOLDER"
BEGUN = "--dataset FOLDER --from RUN"
WAYS = (FROM_SCRATCH, BEGUN, f"{BEGUN} --body-lr 0.1", f"{BEGUN} --freeze body")
_COLUMNS = ("set", "xnn-train", "test accuracy", "more than from scratch", "seconds")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = folders.parser(__doc__, classes=10, images=20, tests=100)
    parser.add_argument("--sets", nargs="+", default=["cifar10", "fashion-mnist"], help="what the folders are made of")
    parser.add_argument("--epochs", type=int, default=3, help="epochs on CIFAR-100 (default: 3)")
    arguments = folders.parsed(parser, argv)
    about = machine.describe(arguments.threads, ("xnn-array", "numpy", "numba"))
    table.print_circumstances(about)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        run, pretraining = work / f"cifar100-{arguments.epochs}", f"--dataset cifar100 --epochs {arguments.epochs}"
        outcome = folders.train(run, (*folders.filled_in(pretraining), "--data-dir", arguments.data_dir))
        reached = f"{folders.accuracies([outcome])} in {folders.mean_seconds([outcome])} seconds"
        print(f"RUN: `{pretraining}`, {reached}\n", flush=True)
        table.print_heading(_COLUMNS)
        figures = [row for name in arguments.sets for row in rows_of(name, run, arguments)]
    table.write(arguments.json, about, figures)


def rows_of(name: str, run: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Train on the folders of a set in each way, print a row for each, and return the figures."""
    from xnn.data import load

    dataset = load(name, data_dir=arguments.data_dir)
    made = {
        seed: folders.make(run.parent / f"{folders.kind(name, arguments)}-{seed}", dataset, arguments, seed)
        for seed in arguments.seeds
    }
    rows: list[dict[str, Any]] = []
    scratch = 0.0
    for way in (*WAYS, *(f"{BEGUN} {more}" for more in arguments.also)):
        outcomes = []
        for seed, folder in made.items():
            options = (*folders.filled_in(way, FOLDER=folder, RUN=run), "--seed", seed)
            label = folders.file_name(way.replace("RUN", run.name))
            outcomes.append(folders.train(run.parent / f"{folder.name}-{label}", options))
        mean = folders.mean_accuracy(outcomes)
        if way == FROM_SCRATCH:
            scratch = mean
        gain = None if way == FROM_SCRATCH else f"{mean - scratch:+.2f}"
        table.print_row((name, f"`{way}`", folders.accuracies(outcomes), gain, folders.mean_seconds(outcomes)))
        rows.append({"set": name, "way": way, "outcomes": [each._asdict() for each in outcomes], "mean": mean})
    return rows


if __name__ == "__main__":
    main()
