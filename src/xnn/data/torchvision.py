"""Any classification data set of torchvision, by the name of its class: ``torchvision:SVHN``.

Nothing here is downloaded or run unless such a name is given. But then torchvision's own code reads the files, and some
of its data sets are pickles (CIFAR10, whose checksums it compares first) or archives that it unpacks: it does not keep
the promises of xnn's own readers. Do not give it a folder with files from somebody you do not trust.
"""

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np

from xnn.data.folder import another_size
from xnn.data.splits import Arrays, HostArray
from xnn.errors import DataError, suggest

PREFIX = "torchvision:"
# Data sets with an argument that has no default.
_ARGUMENTS: dict[str, dict[str, Any]] = {"EMNIST": {"split": "balanced"}}


def read_torchvision(name: str, root: Path, download: bool) -> tuple[Arrays, tuple[str, ...]]:
    """Return the images, labels and classes of a data set.

    Parameters
    ----------
    name : str
        The class in ``torchvision.datasets``.
    root : Path
        The folder where torchvision keeps its files.
    download : bool
        Whether torchvision may download what `root` lacks.

    Raises
    ------
    DataError
        If torchvision is not installed, the name is unknown, the files are missing or cannot be downloaded, or the
        data set is not one of images of one size with a class each.
    """
    if importlib.util.find_spec("torchvision") is None:
        raise DataError(
            f"dataset '{PREFIX}{name}' needs torchvision, which is not installed: "
            'pip install "xnn-array[torchvision]"'
        )
    try:
        datasets = importlib.import_module("torchvision.datasets")
    # RuntimeError: built for another version of PyTorch.
    except (ImportError, RuntimeError, OSError) as error:
        raise DataError(f"torchvision is installed but cannot be imported ({_one_line(error)})") from None
    kind = getattr(datasets, name, None)
    if name not in datasets.__all__ or not inspect.isclass(kind):
        raise DataError(f"torchvision has no dataset '{name}'.{suggest(name, datasets.__all__)}")
    train, test = (_open(kind, root, part, download) for part in ("train", "test"))
    images, labels = _read(train, name)
    test_images, test_labels = _read(test, name)
    count = max(int(labels.max()), int(test_labels.max())) + 1
    classes = tuple(str(label) for label in getattr(train, "classes", range(count)))
    return Arrays(images, labels, test_images, test_labels), classes


def _open(kind: type, root: Path, part: str, download: bool) -> Any:
    arguments = {"root": str(root), **_ARGUMENTS.get(kind.__name__, {})}
    parameters = _parameters(kind)
    if "train" in parameters:
        arguments["train"] = part == "train"
    elif "split" in parameters:
        arguments["split"] = part
    else:
        raise DataError(f"dataset '{PREFIX}{kind.__name__}' is not divided into train and test; it cannot be used")
    if "download" in parameters:
        arguments["download"] = download
    try:
        return kind(**arguments)
    # What torchvision raises for missing files, a failed download, a wrong argument, or a missing library.
    except (RuntimeError, OSError, ValueError, TypeError, ImportError) as error:
        hint = "" if download else "; nothing is downloaded without --download, nor into a --data-dir"
        raise DataError(
            f"dataset '{PREFIX}{kind.__name__}' cannot be read from {root} ({_one_line(error)}){hint}"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _parameters(kind: type) -> set[str]:
    """Return the names of a class's arguments, including those that it passes to its base as ``**kwargs``."""
    names: set[str] = set()
    for base in kind.__mro__[:-1]:
        parameters = inspect.signature(base).parameters
        names |= set(parameters)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return names


def _read(dataset: Any, name: str) -> tuple[HostArray, HostArray]:
    images, labels = [], []
    for number in range(len(dataset)):
        image, label = dataset[number][:2]
        if not hasattr(image, "convert") or not isinstance(label, int | np.integer):
            raise DataError(f"dataset '{PREFIX}{name}' is not one of images with a class each; it cannot be used")
        pixels = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
        images.append(pixels.reshape(*pixels.shape[:2], -1))
        labels.append(int(label))
        if pixels.shape[:2] != images[0].shape[:2]:
            raise DataError(another_size(f"{PREFIX}{name} image {number}", image.size, images[0].shape[1::-1]))
    # Grey images get three equal channels where others are in colour.
    shape = (*images[0].shape[:2], max(pixels.shape[2] for pixels in images))
    return np.stack([np.broadcast_to(pixels, shape) for pixels in images]), np.array(labels, np.int64)
