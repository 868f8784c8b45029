"""Downloading files whose size and checksum are known."""

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from xnn._few_threads import can_start
from xnn._typing import Report
from xnn.errors import DataError
from xnn.files import Folder
from xnn.paths import explained

if TYPE_CHECKING:
    import requests

_CHUNK = 2**16
_SECONDS = 60
"""Seconds for which a mirror may send nothing."""


@dataclass(frozen=True)
class Download:
    """A file, the URLs of folders that offer it (tried in order), its size in bytes, and its SHA-256 checksum."""

    file: str
    mirrors: tuple[str, ...]
    size: int
    sha256: str


def fetch(downloads: tuple[Download, ...], folder: Path, report: Report) -> None:
    """Download the files that `folder` lacks; a file appears there only when it is complete and its checksum is right.

    Raises
    ------
    DataError
        If no mirror gives the file of that size and checksum, or `folder` cannot be written to.
    """
    with explained(DataError, f"{folder}: cannot be read"):
        missing = [download for download in downloads if not (folder / download.file).is_file()]
    if not missing:
        return
    with explained(DataError, f"{folder}: cannot be made or opened"):
        folder.mkdir(parents=True, exist_ok=True)
        place = Folder(folder)
    with place:
        place.remove_temporaries()
        for download in missing:
            _fetch_one(download, place, report)


def _fetch_one(download: Download, folder: Folder, report: Report) -> None:
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
    """Yield what a mirror sends; raise an OSError as soon as it cannot be the file."""
    import requests
    from requests.adapters import HTTPAdapter

    digest, rest = hashlib.sha256(), download.size
    with requests.Session() as session:
        # A redirection must keep the scheme: it must not lead from https to http, and never to a local file.
        session.adapters.clear()
        for scheme in {"https", urlsplit(url).scheme}:
            session.mount(f"{scheme}://", HTTPAdapter())
        session.max_redirects = 5
        # Take the bytes as they are stored, whatever the mirror calls them: unpacked, a few could become many.
        headers = {"Accept-Encoding": "identity"}
        with session.get(url, stream=True, timeout=_SECONDS, headers=headers) as response:
            response.raise_for_status()
            # Otherwise requests would unpack them.
            response.raw.headers.pop("Content-Encoding", None)
            for piece in _received(response, download):
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


def _received(response: "requests.Response", download: Download) -> Iterator[bytes]:
    """Yield what arrives; say how much it was if the connection breaks off."""
    from requests import RequestException

    count = 0
    try:
        for piece in response.iter_content(_CHUNK):
            count += len(piece)
            yield piece
    except RequestException:
        raise OSError(f"the connection broke off after {count:,} of {download.size:,} bytes") from None


@contextlib.contextmanager
def _progress(download: Download) -> Iterator[Callable[[int], None]]:
    """Draw a bar on a terminal; yield a function to call with the number of bytes received so far."""
    # The bar has its own thread.
    if not (sys.stderr.isatty() and can_start(1)):
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(download.file, total=download.size)
        yield lambda count: bar.advance(task, count)
