"""The official files on the net, their checksums, and fetching them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnn.errors import DataError


@dataclass(frozen=True)
class Download:
    """A file, the folders on the net that offer it (tried in order), and its MD5 checksum as its authors publish it."""

    file: str
    mirrors: tuple[str, ...]
    md5: str


def _mnist(mirrors: tuple[str, ...], **checksums: str) -> tuple[Download, ...]:
    return tuple(Download(f"{name.replace('_', '-')}-ubyte.gz", mirrors, md5) for name, md5 in checksums.items())


_CIFAR_MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)

DOWNLOADS: dict[str, tuple[Download, ...]] = {
    "mnist": _mnist(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        train_images_idx3="f68b3c2dcbeaaa9fbdd348bbdeb94873",
        train_labels_idx1="d53e105ee54ea40749a09fcbcd1e9432",
        t10k_images_idx3="9fb629c4189551a2d022fa330f9573f3",
        t10k_labels_idx1="ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion-mnist": _mnist(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        train_images_idx3="8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        train_labels_idx1="25c81989df183df01b3e8a0aad5dffbe",
        t10k_images_idx3="bef4ecab320f06d8554ea6380940ec79",
        t10k_labels_idx1="bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "cifar10": (Download("cifar-10-binary.tar.gz", _CIFAR_MIRRORS, "c32a1d4ab5d03f1284b67883e8d87530"),),
    "cifar100": (Download("cifar-100-binary.tar.gz", _CIFAR_MIRRORS, "03b5dce01913d631647c71ecec9e9cb8"),),
}


def fetch(downloads: tuple[Download, ...], folder: Path, report: Callable[[str], None]) -> None:
    """Download the files that `folder` lacks; a file appears there only once it is whole and its checksum is right.

    Raises
    ------
    DataError
        If no mirror gives a file with the right checksum, or `folder` may not be looked into.
    """
    try:
        missing = [download for download in downloads if not (folder / download.file).is_file()]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    for download in missing:
        _fetch_one(download, folder, report)


def _fetch_one(download: Download, folder: Path, report: Callable[[str], None]) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    reasons = []
    for mirror in download.mirrors:
        url = mirror + download.file
        report(f"downloading {url}")
        bar = _ProgressBar(download.file) if sys.stderr.isatty() else None
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=60)
        try:
            pooch.retrieve(url, f"md5:{download.md5}", download.file, folder, downloader=downloader)
            return
        # OSError: the network or the disk (requests' errors are OSErrors); ValueError: a wrong checksum.
        except (OSError, ValueError) as error:
            reasons.append(f"{url}: {_brief(error)}")
        finally:
            if bar:
                bar.close()
    raise DataError(
        f"{download.file} could not be downloaded ({'; '.join(reasons)}); "
        "download it by other means and name its folder with --data-dir"
    )


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class _ProgressBar:
    """What pooch expects of a progress bar, drawn by rich."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns: tuple[Any, ...] = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        self.total = 0
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(name, total=None)
        self._progress.start()

    def update(self, count: int) -> None:
        self._progress.update(self._task, total=self.total or None, advance=count)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop()
