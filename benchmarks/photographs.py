"""Measure what a folder of photographs of mixed sizes reaches, beside the same images prepared by hand at one size.

Usage: ``python -m benchmarks.photographs DATA_DIR [--set NAME] [--classes N] [--images N] [--tests N] [--choosing]
[--seeds N ...] [--also OPTIONS ...] [--work DIR] [--threads N] [--json FILE]``. DATA_DIR holds the official files.

The photographs are images of CIFAR-10 or CIFAR-100, enlarged until their shorter side has 48 to 400 pixels, and
extended along one side by their mirror image to at most one and a half times that, so that what they show lies near
their middle. Half of them are JPEG files and half PNG. Some JPEG files are turned and say so in EXIF, some PNG files
have a palette or an alpha channel, and some files of both kinds are grey. The other folder has the same images as they
are in the data set, grey where the photograph is. Both have the same test images, which were not trained on, in a
folder of their own.

Each folder is trained on by ``xnn-train --dataset FOLDER``, and in the ways that ``--also`` adds. Numba's cache and
xnn's are empty at first, so the first run compiles everything; its time is that of the whole process. With ``--work``
the folders and the runs stay in DIR, and what is there is not trained again. ``--choosing`` tests on other images.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import folders, machine, table

if TYPE_CHECKING:
    from PIL import Image

    from xnn.data.splits import HostArray

SIDES = (48, 400)
"""Pixels of the shorter side."""
LONGEST = 1.5
"""The most that the longer side has, as a multiple of the shorter one."""
KINDS = {"jpeg": 6, "turned jpeg": 3, "grey jpeg": 1, "png": 6, "palette png": 2, "alpha png": 1, "grey png": 1}
"""Of twenty photographs, how many are of each kind."""
FOLDERS = ("mixed sizes", "prepared by hand")
_ORIENTATION = 0x0112
_COLUMNS = ("folder", "xnn-train", "test accuracy", "beside by hand", "seconds, first run", "seconds, later runs")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = folders.parser(__doc__, classes=6, images=50, tests=200)
    parser.add_argument(
        "--set", choices=("cifar10", "cifar100"), default="cifar10", help="what they are made of (default: cifar10)"
    )
    arguments = folders.parsed(parser, argv)
    about = machine.describe(arguments.threads, ("xnn-array", "numpy", "numba", "pillow"))
    table.print_circumstances(about)
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        figures = measure(work, arguments)
    table.write(arguments.json, about, figures)


def measure(work: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Train on both folders in each way, print a row for each, and return the figures."""
    made = {seed: make(work, arguments, seed) for seed in arguments.seeds}
    caches = {"NUMBA_CACHE_DIR": str(work / "numba"), "XNN_CACHE_DIR": str(work / "cache")}
    table.print_heading(_COLUMNS)
    figures: list[dict[str, Any]] = []
    for way in ("--dataset FOLDER", *(f"--dataset FOLDER {more}" for more in arguments.also)):
        rows = {}
        for name in FOLDERS:
            rows[name] = [
                folders.train(
                    work / f"{made[seed][name].name}-{folders.file_name(way)}",
                    (*folders.filled_in(way, FOLDER=made[seed][name]), "--seed", seed),
                    os.environ | caches,
                )
                for seed in arguments.seeds
            ]
        by_hand = folders.mean_accuracy(rows[FOLDERS[1]])
        for name, outcomes in rows.items():
            first, *later = outcomes
            beside = None if name == FOLDERS[1] else f"{folders.mean_accuracy(outcomes) - by_hand:+.2f}"
            times = (f"{first.seconds:.0f}", folders.mean_seconds(later) if later else None)
            table.print_row((name, f"`{way}`", folders.accuracies(outcomes), beside, *times))
            figures.append({"folder": name, "way": way, "outcomes": [each._asdict() for each in outcomes]})
    return figures


def make(work: Path, arguments: argparse.Namespace, seed: int) -> dict[str, Path]:
    """Return the folder of photographs and the one of the same images prepared by hand, made where they are missing."""
    from xnn.data import load

    dataset = load(arguments.set, data_dir=arguments.data_dir)
    made = work / f"{folders.kind(arguments.set, arguments)}-{seed}"
    return {
        name: folders.make(made.with_name(f"{made.name}-{name.replace(' ', '-')}"), dataset, arguments, seed, write)
        for name, write in zip(FOLDERS, (write_photograph, write_by_hand), strict=True)
    }


def kind_of(numbers: Sequence[int]) -> str:
    """Return which of `KINDS` an image becomes, by its own numbers."""
    import numpy as np

    shares = np.array(list(KINDS.values())) / sum(KINDS.values())
    return str(np.random.default_rng((*numbers, 0)).choice(list(KINDS), p=shares))


def write_by_hand(path: Path, image: "HostArray", numbers: tuple[int, ...]) -> None:
    """Save an image as it is, but grey where its photograph is."""
    from PIL import Image

    picture = Image.fromarray(image)
    if kind_of(numbers).startswith("grey"):
        picture = picture.convert("L")
    picture.save(path.with_suffix(".png"))


def write_photograph(path: Path, image: "HostArray", numbers: tuple[int, ...]) -> None:
    """Save an image as a photograph of its own size and kind."""
    import numpy as np
    from PIL import Image

    random, kind = np.random.default_rng((*numbers, 1)), kind_of(numbers)
    picture = Image.fromarray(photograph(image, random))
    if kind.startswith("grey"):
        picture = picture.convert("L")
    elif kind.startswith("palette"):
        picture = picture.quantize(256)
    elif kind.startswith("alpha"):
        picture.putalpha(255)
    if kind.endswith("png"):
        picture.save(path.with_suffix(".png"))
        return
    exif, orientation = Image.Exif(), 1
    if kind.startswith("turned"):
        orientation = int(random.integers(2, 9))
        picture = turned(picture, orientation)
    exif[_ORIENTATION] = orientation
    picture.save(path.with_suffix(".jpg"), quality=int(random.integers(80, 96)), exif=exif)


def photograph(image: "HostArray", random: Any) -> "HostArray":
    """Return an image enlarged, and extended along one of its sides by its mirror image."""
    import numpy as np
    from PIL import Image

    side = int(random.integers(SIDES[0], SIDES[1] + 1))
    square = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    extra = int(side * random.uniform(0.0, LONGEST - 1.0))
    # What it shows is at most a sixteenth of its width beside the middle.
    aside = int(random.integers(-(side // 16), side // 16 + 1))
    before = min(max(extra // 2 + aside, 0), extra)
    wider = (before, extra - before)
    widths = (wider, (0, 0)) if random.random() < 0.5 else ((0, 0), wider)
    return np.pad(square, (*widths, (0, 0)), mode="symmetric")


def turned(picture: "Image.Image", orientation: int) -> "Image.Image":
    """Return a picture as a camera stores it that was held so that EXIF says `orientation`."""
    from PIL import Image

    ways = Image.Transpose
    stored = {
        2: ways.FLIP_LEFT_RIGHT,
        3: ways.ROTATE_180,
        4: ways.FLIP_TOP_BOTTOM,
        5: ways.TRANSPOSE,
        6: ways.ROTATE_90,
        7: ways.TRANSVERSE,
        8: ways.ROTATE_270,
    }
    return picture.transpose(stored[orientation])


if __name__ == "__main__":
    main()
