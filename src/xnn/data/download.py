"""The official files on the net, their sizes and checksums, and fetching them."""

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from xnn._few_threads import can_start
from xnn.errors import DataError
from xnn.files import Folder
from xnn.paths import reason

_CHUNK = 2**16
_SECONDS = 60
"""Seconds for which a mirror may be silent."""


@dataclass(frozen=True)
class Download:
    """A file, the folders on the net that offer it (tried in order), its size in bytes, and its SHA-256 checksum."""

    file: str
    mirrors: tuple[str, ...]
    size: int
    sha256: str


def _mnist(mirrors: tuple[str, ...], **facts: tuple[int, str]) -> tuple[Download, ...]:
    return tuple(Download(f"{name.replace('_', '-')}-ubyte.gz", mirrors, *fact) for name, fact in facts.items())


_CIFAR_MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)

DOWNLOADS: dict[str, tuple[Download, ...]] = {
    "mnist": _mnist(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        train_images_idx3=(9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        train_labels_idx1=(28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        t10k_images_idx3=(1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        t10k_labels_idx1=(4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "fashion-mnist": _mnist(
        (
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            # The bucket where its authors publish it, without encryption; the checksum reveals what is not theirs.
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        train_images_idx3=(26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        train_labels_idx1=(29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        t10k_images_idx3=(4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        t10k_labels_idx1=(5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    "cifar10": (
        Download(
            "cifar-10-binary.tar.gz",
            _CIFAR_MIRRORS,
            170052171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    "cifar100": (
        Download(
            "cifar-100-binary.tar.gz",
            _CIFAR_MIRRORS,
            168513733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
    ),
}


def fetch(downloads: tuple[Download, ...], folder: Path, report: Callable[[str], None]) -> None:
    """Download the files that `folder` lacks; a file appears there only once it is whole and its checksum is right.

    Raises
    ------
    DataError
        If no mirror gives the file of that size and checksum, or `folder` cannot be written to.
    """
    try:
        missing = [download for download in downloads if not (folder / download.file).is_file()]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    if not missing:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = Folder(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made or opened ({reason(error)})") from None
    with place:
        place.remove_temporaries()
        for download in missing:
            _fetch_one(download, place, report)


def _fetch_one(download: Download, folder: Folder, report: Callable[[str], None]) -> None:
    faults = []
    for mirror in download.mirrors:
        url = mirror + download.file
        report(f"downloading {url}")
        try:
            with _progress(download) as advance:
                folder.write(download.file, _pieces(url, download, advance))
            return
        # OSError: the network, the disk, or another file (requests' errors are OSErrors too).
        except OSError as error:
            faults.append(f"{url}: {' '.join(str(error).split())[:200]}")
    raise DataError(
        f"{download.file} could not be downloaded ({'; '.join(faults)}); "
        "download it by other means and name its folder with --data-dir"
    )


def _pieces(url: str, download: Download, advance: Callable[[int], None]) -> Iterator[bytes]:
    """Yield what a mirror sends; raise an OSError as soon as that is not the file."""
    import requests
    from requests.adapters import HTTPAdapter

    digest, rest = hashlib.sha256(), download.size
    with requests.Session() as session:
        # A redirection must keep the scheme: not lead from https to http, and never to a file.
        session.adapters.clear()
        for scheme in {"https", urlsplit(url).scheme}:
            session.mount(f"{scheme}://", HTTPAdapter())
        session.max_redirects = 5
        # The bytes as they are stored, whatever the mirror calls them: unpacked, a few could become many.
        headers = {"Accept-Encoding": "identity"}
        with session.get(url, stream=True, timeout=_SECONDS, headers=headers) as response:
            response.raise_for_status()
            # Otherwise requests would unpack them.
            response.raw.headers.pop("Content-Encoding", None)
            for piece in response.iter_content(_CHUNK):
                rest -= len(piece)
                if rest < 0:
                    raise OSError(f"it sends more than the file's {download.size:,} bytes")
                digest.update(piece)
                advance(len(piece))
                yield piece
    if rest:
        raise OSError(f"it sent {download.size - rest:,} bytes, the file has {download.size:,}")
    if digest.hexdigest() != download.sha256:
        raise OSError(f"its SHA-256 is {digest.hexdigest()}, expected {download.sha256}")


@contextlib.contextmanager
def _progress(download: Download) -> Iterator[Callable[[int], None]]:
    """Draw a bar on a terminal; yield a function to call with the number of bytes received so far."""
    # The bar has a thread of its own.
    if not (sys.stderr.isatty() and can_start(1)):
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(download.file, total=download.size)
        yield lambda count: bar.advance(task, count)
