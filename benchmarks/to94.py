"""Train on CIFAR-10 with xnn's recipe `speed` and with the public record's program in PyTorch, and compare the curves.

Usage: ``python -m benchmarks.to94 --data-dir DIR [--only xnn|torch] [--json FILE] [--chart FILE.svg] [--seed N]
[--threads N] [--images N] [--epochs N]``. DIR holds the official files of CIFAR-10. Both programs aim at 94 % of the
test images, each with settings of its own (`benchmarks.record_torch` describes PyTorch's), and both are judged after
each epoch by the mean over six views of each image. Seconds are those of training, with the preparation of the batches,
but without evaluation and without compiling xnn's kernels.

With ``--json`` each program's figures are written as soon as it has ended, and what the file has already is not run
again, unless ``--only`` asks for it. ``--images`` takes the first so many training images, and a fifth as many test
images, and ``--epochs`` another number of epochs, for a quick try that says nothing about speed.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import machine, table, to94_chart

if TYPE_CHECKING:
    from xnn.data import Dataset

Reporter = Callable[[float, float], None]
"""Takes the seconds so far, and the test accuracy, after each epoch."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="folder with the official files")
    parser.add_argument("--only", choices=PROGRAMS, help="run this program alone, even if FILE has its figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are kept")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the curves of all figures into this file")
    parser.add_argument("--images", type=table.count, help="training images (default: all)")
    parser.add_argument("--epochs", type=table.count, help="of both programs (default: their own)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--threads", type=table.count, default=machine.cores(), help="(default: all cores)")
    arguments = parser.parse_args(argv)
    machine.pin(arguments.threads)
    figures: dict[str, Any] = {}
    if arguments.json is not None and arguments.json.exists():
        figures = json.loads(arguments.json.read_text(encoding="utf-8"))
        for name, each in figures.items():
            if each["asked"] != asked(arguments) and name != arguments.only:
                parser.error(
                    f"{arguments.json}: {name} ran with {each['asked']}, not {asked(arguments)}; name another file"
                )
    for name in [arguments.only] if arguments.only else [name for name in PROGRAMS if name not in figures]:
        figures[name] = run(name, arguments)
        if arguments.json is not None:
            write_atomically(arguments.json, json.dumps(figures, indent=2) + "\n")
    summarize(figures)
    if arguments.chart is not None:
        arguments.chart.write_text(to94_chart.chart(figures), encoding="utf-8")


def asked(arguments: argparse.Namespace) -> dict[str, int | None]:
    """Return what figures must have in common to stand in one chart."""
    return {name: getattr(arguments, name) for name in ("images", "epochs", "seed", "threads")}


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a kill leaves the old one or the new one."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def run(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run a program, print a row for each epoch, and return its figures with the circumstances."""
    title, packages, train = PROGRAMS[name]
    about = machine.describe(arguments.threads, packages)
    print(f"{title}: ", end="")
    table.print_circumstances(about)
    table.print_heading(("epoch", "seconds", "test accuracy"))
    epochs: list[dict[str, float]] = []

    def report(seconds: float, accuracy: float) -> None:
        epochs.append({"seconds": round(seconds, 3), "accuracy": accuracy})
        table.print_row((len(epochs), f"{seconds:.1f}", f"{100 * accuracy:.2f} %"))

    train(dataset_of(arguments), report, arguments)
    print(flush=True)
    return {**about, "title": title, "asked": asked(arguments), "epochs": epochs}


def dataset_of(arguments: argparse.Namespace) -> "Dataset":
    """Return CIFAR-10, or as much of it as is wanted."""
    from xnn import data

    dataset = data.load("cifar10", data_dir=arguments.data_dir)
    if arguments.images is None:
        return dataset
    counts = {"train": arguments.images, "test": -(-arguments.images // 5)}
    parts = {
        part: data.Split(getattr(dataset, part).images[:count], getattr(dataset, part).labels[:count])
        for part, count in counts.items()
    }
    return replace(dataset, **parts)


def train_xnn(dataset: "Dataset", report: Reporter, arguments: argparse.Namespace) -> None:
    """Train as ``xnn-train --dataset cifar10 --recipe speed`` does, but judge each epoch."""
    from xnn import Settings
    from xnn.runs.assembly import prepare
    from xnn.runs.trainer import make_trainer
    from xnn.training import Callback

    class AfterEachEpoch(Callback):
        def epoch_end(self, trainer: Any, row: Any) -> None:
            # `evaluate` averages over the recipe's six views; the history's own figure is of one view.
            report(sum(trainer.history.column("seconds")), trainer.evaluate(job.test).accuracy)

    asked = {"data_dir": str(arguments.data_dir), "seed": arguments.seed, "epochs": arguments.epochs}
    job = prepare(Settings(dataset="cifar10", recipe="speed", backend="numpy", **asked))
    job = replace(job, train=replace(job.train, split=dataset.train), test=replace(job.test, split=dataset.test))
    make_trainer(job, [AfterEachEpoch()]).fit(job.train, until=job.settings.epochs)


def train_torch(dataset: "Dataset", report: Reporter, arguments: argparse.Namespace) -> None:
    """Train as the public record does."""
    import torch

    from benchmarks import record_torch

    torch.set_num_threads(arguments.threads)
    record_torch.train(dataset, report, epochs=arguments.epochs or record_torch.EPOCHS, seed=arguments.seed)


PROGRAMS: dict[str, tuple[str, tuple[str, ...], Callable[["Dataset", Reporter, argparse.Namespace], None]]] = {
    "xnn": ("xnn, recipe speed", ("xnn-array", "numpy", "numba"), train_xnn),
    "torch": ("PyTorch, the record's program", ("torch",), train_torch),
}
"""What is run, in this order: a title, packages whose versions are recorded, and a function."""


def summarize(figures: dict[str, Any]) -> None:
    """Print what each program reached in the end, and how long it took to the goal."""
    for each in figures.values():
        seconds = [row["seconds"] for row in each["epochs"] if row["accuracy"] >= to94_chart.GOAL]
        goal = f"after {seconds[0]:,.0f} s" if seconds else "never"
        print(f"{to94_chart.summary(each)}; {100 * to94_chart.GOAL:.0f} % {goal}")


if __name__ == "__main__":
    main()
