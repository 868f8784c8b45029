"""The undisturbed files that cases are made from, each as small as it may be; and the folder of a case.

``python -m tests.hostile.world FOLDER`` makes them, and prints which modules that took: who imports them beforehand
can fork processes that need only milliseconds.
"""

import functools
import importlib.util
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.small_files import SMALL, CifarFiles, shrink, write_files, write_idx, write_tar
from tests.hostile import guard
from xnn.data.cifar import CIFAR10, CIFAR100
from xnn.data.mnist import FILES

IMAGES = 12
"""Of each class."""

LARGER = {"cifar10": shrink(CIFAR10, 1000, 1000), "cifar100": shrink(CIFAR100, 1000, 1000)}
"""A tenth of the official size: for bombs, which need room."""

COMPARES = importlib.util.find_spec("sklearn") is not None
"""Whether there is what xnn-compare compares with."""

TRAIN = (
    *("--model", "mlp", "--hidden", "4", "--epochs", "2", "--batch-size", "4", "--backend", "numpy"),
    *("--log-every", "2", "--checkpoint-every", "3", "--average", "0.9"),
)


@dataclass(frozen=True)
class World:
    """Where the undisturbed files are.

    ``folder`` has 24 grey pictures in two classes. ``run`` is a finished run on them, ``stopped`` one that was stopped
    in its second epoch. ``idx``, ``cifar10-binary``, ``cifar10-python``, ``cifar10-archives`` and those of ``cifar100``
    are tiny data sets, ``cache`` has the cache of ``folder``, ``pictures`` a picture in each format, ``kernels`` what
    Numba keeps of compiled twins.
    """

    base: Path

    @functools.cached_property
    def cache_file(self) -> Path:
        (path,) = (self.base / "cache").glob("folder-*.safetensors")
        return path

    def part(self, name: str) -> Path:
        return self.base / name


class Place:
    """The folder of one case: what is handed in is in ``work``, what nobody may touch in ``outside``."""

    def __init__(self, path: Path, world: World) -> None:
        self.path = path
        self.world = world
        self.work = path / "work"
        self.outside = path / "outside"
        for name in ("work", "cache", "home", "tmp", "outside/folder"):
            (path / name).mkdir(parents=True)
        self.environment = {
            "XNN_CACHE_DIR": str(path / "cache"),
            "HOME": str(path / "home"),
            "TMPDIR": str(path / "tmp"),
            "MPLCONFIGDIR": str(world.part("matplotlib")),
            guard.ROOTS: f"{path}\n{world.part('matplotlib')}\n{os.devnull}",
        }
        if "NUMBA_CACHE_DIR" in os.environ:
            self.environment[guard.ROOTS] += f"\n{os.environ['NUMBA_CACHE_DIR']}"
        (self.outside / "authorized_keys").write_text("ssh-ed25519 of a friend\n")
        (self.outside / "folder" / "notes.txt").write_text("nothing to see\n")

    def copy(self, name: str, to: str = "") -> Path:
        """Put a copy of a part of the world into ``work``."""
        source, target = self.world.part(name), self.work / (to or name)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
        return target


def make(base: Path) -> World:
    """Make all undisturbed files in a folder that does not exist."""
    base.mkdir(parents=True)
    os.environ["XNN_CACHE_DIR"] = str(base / "cache")
    os.environ["MPLCONFIGDIR"] = str(base / "matplotlib")
    random = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (base / "folder" / name).mkdir(parents=True)
        for number in range(IMAGES):
            pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(base / "folder" / name / f"{number:02}.png")
    _make_runs(base)
    _make_pictures(base / "pictures", random)
    _make_idx(base / "idx", random)
    for name in SMALL:
        _make_cifar(base, CifarFiles(name), name)
    return World(base)


def _make_cifar(base: Path, cifar: CifarFiles, name: str) -> None:
    (base / f"{name}-archives").mkdir()
    kinds = (("binary", cifar.binary, cifar.binary_contents()), ("python", cifar.python, cifar.python_contents()))
    for kind, version, contents in kinds:
        write_files(base / f"{name}-{kind}" / version.folder, contents)
        members = {f"{version.folder}/{file}": content for file, content in contents.items()}
        write_tar(base / f"{name}-archives" / version.archive, members)


def _make_runs(base: Path) -> None:
    """By the commands themselves, which so import all they need."""
    from xnn.cli import compare, predict, report, train

    options = [*TRAIN, "--dataset", str(base / "folder")]
    assert train.main([*options, "--run-dir", str(base / "run")]) == 0
    _make_stopped(base, options)
    assert report.main([str(base / "run")]) == 0
    assert not COMPARES or compare.main(["--dataset", str(base / "folder"), "--epochs", "1"]) == 0
    assert predict.main([str(base / "run"), str(base / "folder" / "cats" / "00.png")]) == 0
    (base / "run" / "report.html").unlink()


def _make_stopped(base: Path, options: list[str]) -> None:
    from xnn.cli.arguments import parse
    from xnn.runs import run
    from xnn.training import Callback

    class Stop(Callback):
        def interval(self, trainer, row):
            if row["step"] == 8:
                trainer.request_stop("it is to be resumed", to_resume=True)

    result = run.train(parse([*options, "--run-dir", str(base / "stopped")]).settings, callbacks=[Stop()])
    assert result.values is None


def _make_pictures(folder: Path, random: np.random.Generator) -> None:
    folder.mkdir()
    grey = Image.fromarray(random.integers(0, 256, (11, 9), dtype=np.uint8))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        grey.convert(mode).save(folder / f"{mode}.png")
    Image.fromarray(random.integers(0, 65536, (11, 9), dtype=np.uint16)).save(folder / "I16.png")
    for suffix in ("jpg", "gif", "bmp", "webp", "tiff", "pgm"):
        grey.save(folder / f"L.{suffix}")
    for suffix in ("jpg", "bmp", "webp", "tiff", "ppm"):
        grey.convert("RGB").save(folder / f"RGB.{suffix}")
    grey.save(folder / "frames.gif", save_all=True, append_images=[grey.rotate(90), grey])
    grey.save(folder / "frames.tiff", save_all=True, append_images=[grey.rotate(90), grey], compression="tiff_lzw")
    exif = Image.Exif()
    exif[0x0112] = 6
    grey.save(folder / "turned.jpg", exif=exif)
    grey.save(folder / "turned.png", exif=exif)


def _make_idx(folder: Path, random: np.random.Generator) -> None:
    folder.mkdir()
    for name, count in zip(FILES, (20, 20, 10, 10), strict=True):
        images = "images" in name
        array = random.integers(0, 256, (count, 8, 8)) if images else np.arange(count) % 10
        write_idx(folder / (name if name == FILES[1] else f"{name}.gz"), array.astype(np.uint8))


def shrink_cifar(larger: bool) -> None:
    """Have this process take the official files of CIFAR to be so small."""
    from xnn.data import sources

    sources.OFFICIAL.update(LARGER if larger else SMALL)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    specs = {name: getattr(module, "__spec__", None) for name, module in list(sys.modules.items())}
    print(json.dumps([name for name, spec in specs.items() if spec is not None and spec.name == name and spec.origin]))
