"""Folders of pictures made from a data set's images, and ``xnn-train`` on them, for benchmarks of what a user brings.

Nothing here imports NumPy before it is called, so that `benchmarks.machine.pin` can run first.
"""

import argparse
import json
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import machine

if TYPE_CHECKING:
    from xnn.data import Dataset, Split
    from xnn.data.splits import HostArray

Write = Callable[[Path, "HostArray", tuple[int, ...]], None]
"""``(path without suffix, image, numbers of this image alone)``: saves a picture."""


class Outcome(NamedTuple):
    """What a run came to.

    Attributes
    ----------
    accuracy
        On the test images, in percent.
    seconds
        Of the whole process, with all that it read, compiled and wrote.
    """

    accuracy: float
    seconds: float


def parser(description: str | None, *, classes: int, images: int, tests: int) -> argparse.ArgumentParser:
    """Return a parser of the options that these benchmarks share, with some of their defaults."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("data_dir", type=Path, help="folder with the official files")
    for name, default, text in (
        ("classes", classes, "the first so many classes"),
        ("images", images, "training images of each class"),
        ("tests", tests, "test images of each class"),
    ):
        result.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: {default})")
    result.add_argument(
        "--choosing", action="store_true", help="test on other images, for choosing settings that are then tested"
    )
    result.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    result.add_argument("--also", nargs="+", default=[], metavar="OPTIONS", help="further ways to train")
    result.add_argument("--work", type=Path, help="where folders and runs stay (default: nowhere)")
    result.add_argument("--threads", type=int, default=machine.cores(), help="threads (default: all cores)")
    result.add_argument("--json", type=Path, help="also write the figures to this file")
    return result


def parsed(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line, and give all that runs from now on the number of threads that it names."""
    arguments = parser.parse_args(argv)
    if min(arguments.classes - 1, arguments.images, arguments.tests, arguments.threads) < 1:
        parser.error("--images, --tests and --threads must be positive, --classes 2 or more")
    machine.pin(arguments.threads)
    return arguments


def make(
    folder: Path, dataset: "Dataset", arguments: argparse.Namespace, seed: int, write: Write | None = None
) -> Path:
    """Write ``PART/CLASS/NUMBER`` for the first so many classes of a data set, and return the folder.

    Parameters
    ----------
    folder : Path
        It is complete once it exists, and then left as it is.
    dataset : Dataset
        The pictures of ``test`` are of its own test images.
    arguments : Namespace
        ``classes``, and of each the ``images`` in ``train`` and the ``tests`` in ``test``; ``choosing`` takes others
        for ``test``.
    seed : int
        Chooses the training images; the test images are the same for all.
    write : callable, optional
        Gets (seed, part, number of the image in that part) besides the path and the image. By default `write_png`.
    """
    if folder.exists():
        return folder
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    start = arguments.tests if arguments.choosing else 0
    tests, images = range(start, start + arguments.tests), range(arguments.images)
    for number, (part, split, places, source) in enumerate(
        (("train", dataset.train, images, seed), ("test", dataset.test, tests, 0))
    ):
        for label in range(arguments.classes):
            for index in chosen(split, label, places, source):
                path = unfinished / part / dataset.classes[label].replace("/", "-") / str(index)
                path.parent.mkdir(parents=True, exist_ok=True)
                (write or write_png)(path, split.images[index], (source, number, index))
    return unfinished.rename(folder)


def chosen(split: "Split", label: int, places: range, seed: int) -> list[int]:
    """Return the numbers of some images of a class: those at `places` once the seed has shuffled them."""
    import numpy as np

    there = np.flatnonzero(np.asarray(split.labels) == label)
    if len(there) < places.stop:
        raise ValueError(f"there are {len(there)} images of class {label}, and {places.stop} are wanted")
    found: list[int] = np.random.default_rng((seed, label)).permutation(there)[places].tolist()
    return found


def kind(name: str, arguments: argparse.Namespace) -> str:
    """Return what tells a data set's folders from others, as a part of their names."""
    tests = f"other{arguments.tests}" if arguments.choosing else arguments.tests
    return f"{name}-{arguments.classes}x{arguments.images}-{tests}"


def write_png(path: Path, image: "HostArray", numbers: tuple[int, ...]) -> None:
    """Save an image as it is."""
    from PIL import Image

    pixels = image[..., 0] if image.shape[-1] == 1 else image
    Image.fromarray(pixels).save(path.with_suffix(".png"))


def filled_in(way: str, **places: Path) -> list[str]:
    """Return the words of a way to train, with a path for each name in capitals, such as ``FOLDER``."""
    return [str(places.get(word, word)) for word in shlex.split(way)]


def file_name(way: str) -> str:
    """Return a way to train as a part of a file's name."""
    return "-".join(word.lstrip("-").replace("/", "_") for word in shlex.split(way))


def train(run: Path, options: Sequence[object], environment: Mapping[str, str] | None = None) -> Outcome:
    """Run ``xnn-train`` in a process of its own, unless it was run before, and return its outcome.

    Parameters
    ----------
    run : Path
        The run directory. The outcome is kept beside it.
    options : sequence
        Flags and their values.
    environment : mapping, optional
        That of the process, by default this one's.
    """
    kept = run.with_name(f"{run.name}.json")
    if kept.exists():
        return Outcome(**json.loads(kept.read_text()))
    # Of a try that was interrupted.
    shutil.rmtree(run, ignore_errors=True)
    command = [sys.executable, "-m", "xnn.cli.train", *map(str, options), "--run-dir", str(run)]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    seconds = time.perf_counter() - began
    result: dict[str, Any] = json.loads((run / "result.json").read_text())
    outcome = Outcome(100 * result["test_accuracy"], seconds)
    kept.write_text(json.dumps(outcome._asdict()))
    return outcome


def accuracies(outcomes: Sequence[Outcome]) -> str:
    """Return the mean accuracy, and each in brackets."""
    each = ", ".join(f"{outcome.accuracy:.2f}" for outcome in outcomes)
    return f"{mean_accuracy(outcomes):.2f} % ({each})" if len(outcomes) > 1 else f"{each} %"


def mean_accuracy(outcomes: Sequence[Outcome]) -> float:
    """Return the mean accuracy in percent."""
    return statistics.fmean(outcome.accuracy for outcome in outcomes)


def mean_seconds(outcomes: Sequence[Outcome]) -> str:
    """Return the mean time of a process."""
    return f"{statistics.fmean(outcome.seconds for outcome in outcomes):.0f}"
