"""Any classification data set of torchvision, by the name of its class: ``torchvision:SVHN``.

Nothing here is downloaded or run unless such a name is given. But then torchvision's own code reads the files, and some
of its data sets are pickles (CIFAR10, whose checksums it compares first) or archives that it unpacks: it does not keep
the promises of xnn's own readers. Do not give it a folder with files from somebody you do not trust.
"""

import importlib.util
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xnn.data.limits import check_room
from xnn.data.listing import image_size_of
from xnn.data.pictures import channels
from xnn.data.preparing import prepared
from xnn.data.splits import Arrays, Content, HostArray
from xnn.errors import DataError, suggest, to_install

PREFIX = "torchvision:"
# Data sets with an argument that has no default.
_ARGUMENTS: dict[str, dict[str, Any]] = {"EMNIST": {"split": "balanced"}}
# What some data sets call the parts that others call "train" and "test".
_SPLITS: dict[str, dict[str, str]] = {
    "OxfordIIITPet": {"train": "trainval"},
    "ImageNet": {"test": "val"},
    "Imagenette": {"test": "val"},
    "CLEVRClassification": {"test": "val"},
}


def read_torchvision(name: str, root: Path, *, download: bool, advice: str, image_size: int | None = None) -> Content:
    """Return the images, labels and classes of a data set.

    Parameters
    ----------
    name : str
        The class in ``torchvision.datasets``.
    root : Path
        The folder where torchvision keeps its files.
    download : bool
        Whether torchvision may download what `root` lacks.
    advice : str
        What to do where files are missing.
    image_size : int, optional
        The side of the squares to which the images are scaled and cut, as in `xnn.data.listing.read_listing`.

    Raises
    ------
    DataError
        If torchvision is not installed, the name is unknown, the files are missing or cannot be downloaded, or the
        data set is not one of images with a class each.
    """
    if importlib.util.find_spec("torchvision") is None:
        raise DataError(
            f"dataset '{PREFIX}{name}' needs torchvision, which is not installed: {to_install('torchvision')}"
        )
    try:
        datasets = importlib.import_module("torchvision.datasets")
    # RuntimeError: built for another version of PyTorch.
    except (ImportError, RuntimeError, OSError) as error:
        raise DataError(f"torchvision is installed but cannot be imported ({_one_line(error)})") from None
    kind = getattr(datasets, name, None)
    if name not in datasets.__all__ or not inspect.isclass(kind):
        raise DataError(f"torchvision has no dataset '{name}'.{suggest(name, datasets.__all__)}")
    place = _Place(name, root, download, advice)
    train, test = (_open(kind, place, part) for part in ("train", "test"))
    seen = [_seen(dataset, place) for dataset in (train, test)]
    sizes = [size for part in seen for size in part.sizes]
    (width, height), notes = image_size_of(sizes, image_size)
    shape = (height, width, max(part.channels for part in seen))
    check_room(len(sizes) * height * width * shape[2], f"{PREFIX}{name}")
    images, test_images = _images(train, place, shape), _images(test, place, shape)
    labels, test_labels = (np.array(part.labels, np.int64) for part in seen)
    count = max(int(labels.max()), int(test_labels.max())) + 1
    classes = tuple(str(label) for label in getattr(train, "classes", range(count)))
    return Content(Arrays(images, labels, test_images, test_labels), classes, notes)


class _Place(NamedTuple):
    """Which data set is read, from where, whether files may be downloaded, and what to do where they are missing."""

    name: str
    root: Path
    download: bool
    advice: str


def _open(kind: type, place: _Place, part: str) -> Any:
    arguments = {"root": str(place.root), **_ARGUMENTS.get(kind.__name__, {})}
    parameters = _parameters(kind)
    if "train" in parameters:
        arguments["train"] = part == "train"
    elif "split" in parameters:
        arguments["split"] = _SPLITS.get(kind.__name__, {}).get(part, part)
    else:
        raise DataError(f"dataset '{PREFIX}{kind.__name__}' is not divided into train and test; it cannot be used")
    if "download" in parameters:
        arguments["download"] = place.download
    with _explained(place):
        return kind(**arguments)


@contextmanager
def _explained(place: _Place) -> Iterator[None]:
    """Turn what torchvision raises into one line, with our advice: its own is for those who call it."""
    try:
        yield
    except _faults() as error:
        raise DataError(f"dataset '{PREFIX}{place.name}': {_fault(error, place)}") from None


def _faults() -> tuple[type[Exception], ...]:
    """Return what torchvision raises for missing files, a failed download, a wrong argument, or a missing library."""
    return RuntimeError, OSError, ValueError, TypeError, ImportError, *_cut_off()


def _cut_off() -> tuple[type[Exception], ...]:
    """Return what downloading, and reading what was downloaded, raise where a file ends too soon."""
    from gzip import BadGzipFile
    from http.client import HTTPException
    from tarfile import TarError
    from urllib.error import ContentTooShortError
    from zipfile import BadZipFile
    from zlib import error as zlib_error

    return EOFError, HTTPException, ContentTooShortError, TarError, BadZipFile, zlib_error, BadGzipFile


def _fault(error: Exception, place: _Place) -> str:
    said = _one_line(error)
    if isinstance(error, _cut_off()):
        return (
            f"the download broke off, or a file in {place.root} is damaged ({said or type(error).__name__}); delete "
            "that file there and try again"
        )
    if "argument split" in said:
        return f"it is not divided into train and test ({said}); it cannot be used"
    before, advised, _ = said.partition("download=True")
    if advised:
        sentences = re.split(r"(?<=[.;!])\s", before)[:-1]  # the last is the advice
        fault = " ".join(sentences).rstrip(".;! ") or "its files are missing"
        return f"{fault} in {place.root}; {place.advice}"
    return f"cannot be read from {place.root} ({said}); if files are missing there, {place.advice}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _parameters(kind: type) -> set[str]:
    """Return the names of a class's arguments, including those that it passes to its base as ``**kwargs``."""
    names: set[str] = set()
    for base in kind.__mro__[:-1]:
        parameters = inspect.signature(base).parameters
        names |= set(parameters)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return names


class _Seen(NamedTuple):
    """What a first look at the images tells."""

    labels: list[int]
    sizes: list[tuple[int, int]]
    channels: int


def _seen(dataset: Any, place: _Place) -> _Seen:
    """Look at all images without keeping them, since together they may be far larger than what is made of them."""
    seen = _Seen([], [], 1)
    for number in range(len(dataset)):
        with _explained(place):
            image, label = dataset[number][:2]
        if not hasattr(image, "convert") or not isinstance(label, int | np.integer):
            raise DataError(f"dataset '{PREFIX}{place.name}' is not one of images with a class each; it cannot be used")
        seen.labels.append(int(label))
        seen.sizes.append(image.size)
        seen = seen._replace(channels=max(seen.channels, channels(image)))
    return seen


def _images(dataset: Any, place: _Place, shape: tuple[int, int, int]) -> HostArray:
    images = np.empty((len(dataset), *shape), np.uint8)
    for number in range(len(dataset)):
        with _explained(place):
            images[number] = prepared(dataset[number][0], shape)
    return images
