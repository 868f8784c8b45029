"""Small data sets in the official formats, and counts of what is read, for the tests of several modules."""

import dataclasses
import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xnn.data.cifar import CIFAR10, CIFAR100, PIXELS, Cifar
from xnn.data.gunzip import Gunzip
from xnn.data.idx import UNSIGNED_BYTE


def shrink(cifar: Cifar, train: int, test: int) -> Cifar:
    """Return the same data set with so few images in each file."""
    versions = tuple(
        dataclasses.replace(version, train=dict.fromkeys(version.train, train), test=dict.fromkeys(version.test, test))
        for version in cifar.versions
    )
    return dataclasses.replace(cifar, versions=versions)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an array of unsigned bytes as IDX, compressed when the name ends in ``.gz``, the same bytes each time."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, UNSIGNED_BYTE, array.ndim, *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content, 9, mtime=0) if path.suffix == ".gz" else content)


SMALL = {"cifar10": shrink(CIFAR10, 4, 3), "cifar100": shrink(CIFAR100, 9, 5)}


class CifarFiles:
    """A small CIFAR data set, and its files in every version."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.cifar = SMALL[name]
        self.binary, self.python = self.cifar.versions
        rng = np.random.default_rng(seed)
        self.counts = list(self.binary.files.values())
        self.images = [rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8) for count in self.counts]
        self.labels = [
            np.stack([rng.integers(0, label.classes, count) for label in self.cifar.labels], axis=1)
            for count in self.counts
        ]

    def rows(self, number: int) -> np.ndarray:
        return self.images[number].transpose(0, 3, 1, 2).reshape(-1, PIXELS)

    def binary_contents(self) -> dict[str, bytes]:
        return {
            name: np.hstack([self.labels[i].astype(np.uint8), self.rows(i)]).tobytes()
            for i, name in enumerate(self.binary.files)
        }

    def python_contents(self, protocol: int = 2) -> dict[str, bytes]:
        contents = {}
        for i, name in enumerate(self.python.files):
            batch = {"batch_label": "a batch", "data": self.rows(i), "filenames": ["a.png"] * len(self.rows(i))}
            for label, column in zip(self.cifar.labels, self.labels[i].T, strict=True):
                batch[label.key] = column.tolist()
            contents[name] = pickle.dumps(batch, protocol)
        return contents

    def check(self, arrays) -> None:
        labels = np.concatenate(self.labels)
        labels = labels if len(self.cifar.labels) > 1 else labels[:, 0]
        split = sum(self.counts[:-1])
        np.testing.assert_array_equal(arrays.train_images, np.concatenate(self.images[:-1]))
        np.testing.assert_array_equal(arrays.test_images, self.images[-1])
        np.testing.assert_array_equal(arrays.train_labels, labels[:split])
        np.testing.assert_array_equal(arrays.test_labels, labels[split:])


def write_files(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, contents: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in extra:
            archive.addfile(member, io.BytesIO(b"\0" * member.size))
    return path


def note_reads(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[int]:
    """Return a list to which each read of a file that the module opens adds how many bytes it asks for."""
    reads: list[int] = []

    class Noted(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            reads.append(-1 if size is None else size)
            return super().read(size)

    monkeypatch.setattr(module, "open_regular", Noted)
    return reads


def note_unpacked(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[Gunzip]:
    """Return a list to which each gzip file that the module opens is added; its position tells what came out."""
    opened: list[Gunzip] = []

    class Noted(Gunzip):
        def __init__(self, *arguments, **options) -> None:
            super().__init__(*arguments, **options)
            opened.append(self)

    monkeypatch.setattr(module, "Gunzip", Noted)
    return opened
