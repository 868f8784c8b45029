"""The official files of CIFAR-10 and CIFAR-100: binary or python version, in a folder or in its ``.tar.gz``.

A record of the binary version is the label (CIFAR-100: the coarse label, then the fine one), a byte each, then 32 rows
of 32 bytes of red, then of green, then of blue. A python file is a pickle of a dictionary whose ``data`` holds such
rows of 3072 bytes; `inert_pickle` reads it, but cannot run it.
Both versions hold the same images: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnn.data import class_names
from xnn.data.archives import read_files
from xnn.data.download import Download
from xnn.data.inert_pickle import ArrayRecord, read_inert
from xnn.data.splits import Arrays, Found, HostArray, check_labels
from xnn.errors import DataError

SIDE, CHANNELS = 32, 3
PIXELS = SIDE * SIDE * CHANNELS


@dataclass(frozen=True)
class Label:
    """One of an image's labels: its key in the python version, and its number of classes."""

    key: str
    classes: int


@dataclass(frozen=True)
class Version:
    """One form in which a data set is published: its files' names, and the number of images in each."""

    archive: str
    folder: str
    train: Mapping[str, int]
    test: Mapping[str, int]
    binary: bool

    @property
    def files(self) -> dict[str, int]:
        """How many images each file holds, the training files first."""
        return {**self.train, **self.test}

    def find(self, root: Path) -> Path | None:
        """Return the folder or archive under `root` with this version, or None; some of its files may be missing."""
        for folder in (root / self.folder, root):
            if any((folder / name).is_file() for name in self.files):
                return folder
        archive = root / self.archive
        return archive if archive.is_file() else None

    def paths(self, location: Path) -> list[Path]:
        """Return the files to read from `location`.

        Raises
        ------
        DataError
            If one is missing.
        """
        if not location.is_dir():
            return [location]
        paths = [location / name for name in self.files]
        for path in paths:
            if not path.exists():
                raise DataError(f"{path}: missing; expected beside each other: {', '.join(self.files)}")
        return paths


@dataclass(frozen=True)
class Cifar:
    """CIFAR-10 or CIFAR-100: its published versions, and the labels of an image in the files' order."""

    versions: tuple[Version, ...]
    labels: tuple[Label, ...]
    classes: tuple[str, ...]
    downloads: tuple[Download, ...]

    def find(self, root: Path) -> Found | None:
        """Return the files of the first version that `root` has, or None if it has none."""
        for version in self.versions:
            location = version.find(root)
            if location is not None:
                return Found(location, version.paths(location), partial(self.read, version, location))
        return None

    def expected(self) -> str:
        """Return a phrase that names the files to look for."""
        return " or ".join(f"{version.archive} or {version.folder}/" for version in self.versions)

    def read(self, version: Version, location: Path) -> Arrays:
        """Return the images and labels; the labels are (n, 2), coarse and fine, if an image has two.

        Raises
        ------
        DataError
            If a file is missing, damaged, of a wrong length, holds a label out of range, or is a pickle that asks
            for anything but arrays.
        """
        sizes = {name: self._sizes(version, count) for name, count in version.files.items()}
        contents = read_files(location, version.folder, sizes)
        parse = self._parse_binary if version.binary else self._parse_python

        def images_and_labels(files: Mapping[str, int]) -> tuple[HostArray, HostArray]:
            parts = (parse(contents.pop(name), count, str(location / name)) for name, count in files.items())
            images, labels = _join(parts, sum(files.values()), len(self.labels))
            return images, labels if len(self.labels) > 1 else labels[:, 0]

        return Arrays(*images_and_labels(version.train), *images_and_labels(version.test))

    def _sizes(self, version: Version, count: int) -> range:
        if version.binary:
            exact = count * (PIXELS + len(self.labels))
            return range(exact, exact + 1)
        # A pickle also holds file names, and text that stands for bytes may take two bytes for each.
        return range(count * PIXELS, 2 * count * (PIXELS + 200) + 4096)

    def _parse_binary(self, content: bytes, count: int, where: str) -> tuple[HostArray, HostArray]:
        records = np.frombuffer(content, np.uint8).reshape(count, -1)
        labels = records[:, : len(self.labels)].astype(np.int64)
        for label, column in zip(self.labels, labels.T, strict=True):
            check_labels(column, label.classes, where)
        return records[:, len(self.labels) :], labels

    def _parse_python(self, content: bytes, count: int, where: str) -> tuple[HostArray, HostArray]:
        batch = read_inert(content, where)
        if not isinstance(batch, dict):
            raise DataError(f"{where}: not a CIFAR batch: a pickled {type(batch).__name__}, not a dictionary")
        record = batch.get("data")
        rows = record.read(where) if isinstance(record, ArrayRecord) else None
        if rows is None or rows.shape != (count, PIXELS):
            found = "none" if rows is None else f"one of shape {rows.shape}"
            raise DataError(f"{where}: 'data' should be an array of shape {(count, PIXELS)}, found {found}")
        columns = [_label_column(batch.get(label.key), label, count, where) for label in self.labels]
        return rows, np.stack(columns, axis=1)


def _label_column(values: Any, label: Label, count: int, where: str) -> npt.NDArray[np.int64]:
    if not isinstance(values, list) or len(values) != count or not all(type(value) is int for value in values):
        raise DataError(f"{where}: '{label.key}' should be a list of {count} integers")
    check_labels(values, label.classes, where)
    return np.array(values, np.int64)


def _join(parts: Iterable[tuple[HostArray, HostArray]], count: int, labels: int) -> tuple[HostArray, HostArray]:
    """Return the images (count, 32, 32, 3) and labels (count, labels) of several files, filled one file at a time."""
    images = np.empty((count, SIDE, SIDE, CHANNELS), np.uint8)
    columns = np.empty((count, labels), np.int64)
    start = 0
    for planes, part_labels in parts:
        stop = start + len(planes)
        images[start:stop] = planes.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
        columns[start:stop] = part_labels
        start = stop
    return images, columns


def _official(
    stem: str,
    folders: tuple[str, str],
    train: Mapping[str, int],
    test: Mapping[str, int],
    labels: tuple[Label, ...],
    classes: tuple[str, ...],
    size: int,
    sha256: str,
) -> Cifar:
    """Return a data set in both versions: binary (files end in .bin and can be downloaded) and python."""
    binary_train, binary_test = ({f"{name}.bin": count for name, count in files.items()} for files in (train, test))
    archive = f"{stem}-binary.tar.gz"
    versions = (
        Version(archive, folders[0], binary_train, binary_test, binary=True),
        Version(f"{stem}-python.tar.gz", folders[1], train, test, binary=False),
    )
    return Cifar(versions, labels, classes, (Download(archive, ("https://www.cs.toronto.edu/~kriz/",), size, sha256),))


CIFAR10 = _official(
    "cifar-10",
    ("cifar-10-batches-bin", "cifar-10-batches-py"),
    {f"data_batch_{number}": 10_000 for number in range(1, 6)},
    {"test_batch": 10_000},
    (Label("labels", 10),),
    class_names.CIFAR10,
    170052171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
CIFAR100 = _official(
    "cifar-100",
    ("cifar-100-binary", "cifar-100-python"),
    {"train": 50_000},
    {"test": 10_000},
    (Label("coarse_labels", 20), Label("fine_labels", 100)),
    class_names.CIFAR100_FINE,
    168513733,
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
)
