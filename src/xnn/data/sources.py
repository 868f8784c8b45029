"""Finding a data set in ``--data-dir``, then in the cache, then on the net, and saying where it was."""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from xnn._typing import Report
from xnn.data import cache, class_names
from xnn.data.cifar import CIFAR10, CIFAR100, Cifar
from xnn.data.digits import read_digits
from xnn.data.download import fetch
from xnn.data.folder import list_folder
from xnn.data.listing import MOST_SIDE, Listing, read_listing
from xnn.data.mnist import MNIST_LIKE, Mnist
from xnn.data.splits import DIVISION, Content, Dataset, Found, Split
from xnn.data.table import CSV, list_table
from xnn.data.torchvision import PREFIX, read_torchvision
from xnn.errors import DataError, SettingError, suggest
from xnn.paths import expanded, explained, reason

OFFICIAL: dict[str, Mnist | Cifar] = {**MNIST_LIKE, "cifar10": CIFAR10, "cifar100": CIFAR100}
"""The data sets with official files."""
_MANY = 200
"""Pictures that take a while to decode, where they are photographs."""


def names() -> list[str]:
    """Return the names of the data sets that `load` knows, besides ``torchvision:NAME`` and folders of images.

    Examples
    --------
    >>> from xnn import data
    >>> data.names()
    ['digits', 'mnist', 'fashion-mnist', 'cifar10', 'cifar100']
    """
    return ["digits", *OFFICIAL]


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    labels: str = "fine",
    image_size: int | None = None,
    skip_bad: bool = False,
    download: bool = True,
    report: Report | None = None,
) -> Dataset:
    """Return a data set, from `data_dir` if it is given, else from the cache, else from the net.

    After the first read the images are mapped into memory from a flat cache file, which is checked when it is opened
    and rebuilt if it is damaged. Each `data_dir` and each folder of images has its own cache file, which is rebuilt if
    its files have changed. Downloaded files and those that torchvision has read are not checked for changes.

    Parameters
    ----------
    name : str
        One of `names`, ``torchvision:NAME``, a folder of ``class/image.png``, or a CSV file of ``path,label``.
    data_dir : path, optional
        A folder with the official files; then nothing is downloaded.
    cache_dir : path, optional
        The folder of the cache. By default ``$XNN_CACHE_DIR``, else the user's cache folder.
    labels : {"fine", "coarse"}
        Which labels of cifar100: 100 classes or 20.
    image_size : int, optional
        The side of the squares to which the pictures of a folder, or of torchvision, are scaled and cut. By default
        they keep their size if all have the same, and else it depends on their sizes.
    skip_bad : bool
        Whether to leave out files of a folder that are no pictures, or damaged, and report them.
    download : bool
        Whether files may be downloaded that are neither in `data_dir` nor in the cache. If not, nothing here goes to
        the net, nor does torchvision.
    report : callable, optional
        Called with lines of text that say where the images come from, and what was done on the way.

    Raises
    ------
    DataError
        If the name is unknown, its files are missing, unreadable or not what their format promises, or the system
        cannot look up a given folder.
    SettingError
        If `labels` is not known, or coarse where there is only one kind; or if images of that name have no choice of
        an `image_size`, or not of this one.

    Examples
    --------
    >>> from xnn import data
    >>> digits = data.load("digits")
    >>> len(digits.train), len(digits.test), digits.image_shape
    (1437, 360, (8, 8, 1))
    """
    _check_labels_setting(name, labels)
    _check_image_size(name, image_size)
    root = None if data_dir is None else _readable_folder(expanded(data_dir, "data directory", DataError)).resolve()
    request = _Request(name, root, cache_dir, image_size, skip_bad, download, report or (lambda line: None))
    try:
        cached = _load(request)
    except MemoryError:
        raise DataError(f"dataset {name!r} does not fit into memory") from None
    dataset = _dataset(name, cached, labels)
    size = "x".join(str(length) for length in dataset.image_shape)
    more = f", {len(dataset.validation)} validation" if dataset.validation else ""
    through = f" through the cache {cached.file}" if cached.file else ""
    request.report(
        f"{name}: {len(dataset.train)} training{more} and {len(dataset.test)} test images of {size}, "
        f"from {dataset.source}{through}"
    )
    for note in cached.notes:
        request.report(note)
    return dataset


def may_be_scaled(name: str) -> bool:
    """Return whether `load` takes an `image_size` for a data set of that name."""
    return name not in names()


@dataclass(frozen=True)
class _Request:
    """What `load` was asked for."""

    name: str
    data_dir: Path | None
    cache_dir: str | os.PathLike[str] | None
    image_size: int | None
    skip_bad: bool
    download: bool
    report: Report

    def cache_path(self, stem: str, folder: Path | None = None) -> Path:
        """Return the cache file for what is read from `folder` or, with None, downloaded: never the same file."""
        digest = "" if folder is None else f"-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
        return cache.cache_directory(self.cache_dir) / f"{stem}{digest}.safetensors"


def _check_labels_setting(name: str, labels: str) -> None:
    if labels not in ("fine", "coarse"):
        raise SettingError(f"labels must be 'fine' or 'coarse', not {labels!r}.{suggest(labels, ('fine', 'coarse'))}")
    if labels == "coarse" and name != "cifar100":
        raise SettingError(f"only cifar100 has coarse labels, {name} does not")


def _check_image_size(name: str, image_size: int | None) -> None:
    if image_size is None:
        return
    if not may_be_scaled(name):
        raise SettingError(f"--image-size {image_size}: the images of {name} have one size; leave it out")
    if not 1 <= image_size <= MOST_SIDE:
        raise SettingError(f"--image-size {image_size}: expected a whole number from 1 to {MOST_SIDE}")


def _readable_folder(folder: Path) -> Path:
    with explained(DataError, f"data directory {folder} cannot be read"):
        if not folder.is_dir():
            fault = "is not a folder" if folder.exists() else "does not exist"
            raise DataError(f"data directory {folder} {fault}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise DataError(f"data directory {folder} cannot be read: permission denied")
    return folder


def _load(request: _Request) -> cache.Cached:
    name = request.name
    if name == "digits":
        return cache.Cached(read_digits(), "the package itself", class_names.DIGITS, "")
    if name in OFFICIAL:
        return _load_official(request, OFFICIAL[name])
    if name.startswith(PREFIX):
        return _load_torchvision(request)
    path = expanded(name, "dataset", DataError)
    if path.is_dir():
        root = path.resolve()
        return _load_listing(request, list_folder(root), root)
    if path.suffix.lower() == CSV and path.exists():
        # Of links only the folder's are followed: the paths in the file are relative to where it was named.
        table = path.parent.resolve() / path.name
        return _load_listing(request, list_table(table), table.parent)
    raise DataError(
        f"dataset {name!r} is neither known nor a folder; choose one of {', '.join(names())}, {PREFIX}NAME, a folder "
        f"of class/image.png, or a CSV file of path,label.{suggest(name, names())}"
    )


def _load_official(request: _Request, known: Mnist | Cifar) -> cache.Cached:
    path = request.cache_path(request.name, request.data_dir)
    if request.data_dir is not None:
        found = _find(known, request.data_dir)
        if found is None:
            raise DataError(
                f"data directory {request.data_dir} does not hold {request.name}; expected {known.expected()}"
            )
        return _read_through_cache(path, found, request.data_dir, known, request.report)
    downloads = path.parent / "downloads" / request.name
    cached = cache.load(path, request.report)
    if cached is not None and Path(cached.source).is_relative_to(downloads):
        return cached
    if request.download:
        fetch(known.downloads, downloads, request.report)
    found = _find(known, downloads)
    if found is None:
        raise DataError(
            f"{request.name} is not in the cache {path.parent}, and downloading was not allowed; add --download, "
            f"or name with --data-dir a folder that holds {known.expected()}"
        )
    return _read_through_cache(path, found, downloads, known, request.report)


def _find(known: Mnist | Cifar, root: Path) -> Found | None:
    try:
        return known.find(root)
    except OSError as error:
        raise DataError(f"{error.filename or root}: cannot be read: {reason(error)}") from None


def _read_through_cache(path: Path, found: Found, root: Path, known: Mnist | Cifar, report: Report) -> cache.Cached:
    mark = cache.fingerprint(found.paths, root)
    return cache.load_or_build(path, mark, lambda: Content(found.read(), known.classes), str(found.location), report)


def _load_listing(request: _Request, listing: Listing, folder: Path) -> cache.Cached:
    """Read pictures through the cache; `folder` is where all of them are."""
    root, paths = listing.root, listing.paths
    if root != folder:  # a file that lists them: the labels are in it
        paths = [root, *paths]
    # A folder may have any name; turn it into one that a file can have.
    stem = f"folder-{re.sub(r'[^a-zA-Z0-9._-]', '_', root.name)[:40]}"
    mark = f"{cache.fingerprint(paths, folder, unreadable=request.skip_bad)}, division {DIVISION}"
    if request.skip_bad:
        mark += ", without what is bad"

    def build() -> Content:
        if len(paths) > _MANY:
            request.report(f"reading {len(paths):,} pictures, which the cache then keeps ...")
        return read_listing(listing, request.image_size, skip_bad=request.skip_bad)

    return replace(_of_size(request, stem, root, mark, build, str(root)), divided=listing.divided)


def _of_size(
    request: _Request, stem: str, folder: Path | None, mark: str, build: Callable[[], Content], source: str
) -> cache.Cached:
    """Read through the cache file of the size that is asked for, which may be that of no size."""
    path, size = request.cache_path(stem, folder), request.image_size
    if size is not None:
        found = cache.load(path, lambda line: None)
        if found is not None and (found.fingerprint, found.image_size) == (mark, (size, size)):
            return found
        path = request.cache_path(f"{stem}-{size}px", folder)
    return cache.load_or_build(path, mark, build, source, request.report)


def _load_torchvision(request: _Request) -> cache.Cached:
    kind = request.name.removeprefix(PREFIX)
    if not kind.isidentifier():
        raise DataError(f"dataset {request.name!r}: after {PREFIX} comes the name of a class, such as {PREFIX}SVHN")
    root = request.data_dir or cache.cache_directory(request.cache_dir) / "torchvision"
    may_download = request.download and request.data_dir is None
    advice = "try again" if may_download else "--download fetches it"
    if request.data_dir is not None:
        advice = f"leave out --data-dir{' to have it downloaded' if request.download else f', and {advice}'}"

    def read() -> Content:
        return read_torchvision(kind, root, download=may_download, advice=advice, image_size=request.image_size)

    if may_download:
        with explained(DataError, f"{root}: cannot be made"):
            root.mkdir(parents=True, exist_ok=True)
    return _of_size(
        request,
        f"torchvision-{kind}",
        request.data_dir,
        # Each given folder has its own cache file, and only torchvision knows the files.
        request.name,
        read,
        f"{root} (torchvision)",
    )


def _dataset(name: str, cached: cache.Cached, labels: str) -> Dataset:
    column, classes = (0, class_names.CIFAR100_COARSE) if labels == "coarse" else (1, cached.classes)
    train, test, *more = (
        Split(images, found if found.ndim == 1 else found[:, column]) for images, found in cached.arrays.pairs
    )
    return Dataset(name, train, test, classes, cached.source, cached.divided, more[0] if more else None)
