import contextlib
import hashlib
import http.server
import sys
import threading

import pytest

from tests.trouble import failing, umask
from xnn.data import download
from xnn.data.download import Download, fetch
from xnn.data.sources import OFFICIAL
from xnn.errors import DataError

CONTENT = b"content" * 30_000


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the first part of the path."""

    def do_GET(self):
        self.server.requested.append(self.path)
        kind = self.path.split("/")[1]
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", self.server.target)
            self.end_headers()
            return
        self.send_response(404 if kind == "bad" else 200)
        content = {"good": CONTENT, "short": CONTENT[:-1], "packed": CONTENT, "broken": CONTENT}.get(kind, b"")
        if kind == "packed":
            self.send_header("Content-Encoding", "gzip")
        if kind != "endless":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:1000] if kind == "broken" else content)
        with contextlib.suppress(OSError):
            while kind == "endless":
                self.server.sent += self.wfile.write(bytes(2**16))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requested, server.sent, server.target = [], 0, ""
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def a_download(server, *folders, content=CONTENT, size=210_000):
    mirrors = tuple(f"{server.url}/{folder}/" for folder in folders)
    return Download("set.gz", mirrors, size, hashlib.sha256(content).hexdigest())


def test_a_file_is_fetched_once(server, tmp_path):
    lines = []
    for _ in range(2):
        fetch((a_download(server, "good"),), tmp_path / "new", lines.append)
    assert (tmp_path / "new" / "set.gz").read_bytes() == CONTENT
    assert server.requested == ["/good/set.gz"]
    assert lines == [f"downloading {server.url}/good/set.gz"]


def test_the_next_mirror_is_tried(server, tmp_path):
    fetch((a_download(server, "bad", "good"),), tmp_path, print)
    assert server.requested == ["/bad/set.gz", "/good/set.gz"]
    assert (tmp_path / "set.gz").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("folder", "content", "reason"),
    [
        ("bad", CONTENT, "404"),
        ("good", b"other", "its SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}"),
        ("broken", CONTENT, "the connection broke off after [0-9,]+ of 210,000 bytes"),
        ("short", CONTENT, "it sent 209,999 bytes, the file has 210,000"),
    ],
)
def test_a_failure_leaves_nothing_and_says_what_to_do(server, tmp_path, folder, content, reason):
    with pytest.raises(DataError, match=rf"set.gz could not be downloaded .*{reason}.*--data-dir") as caught:
        fetch((a_download(server, folder, content=content),), tmp_path, print)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_endless_file_is_cut_off(server, tmp_path):
    with pytest.raises(DataError, match=r"it sends more than the file's 100,000 bytes"):
        fetch((a_download(server, "endless", size=100_000),), tmp_path, print)
    assert list(tmp_path.iterdir()) == []
    # What had been sent lay in the buffers of both sides.
    assert server.sent < 2**26


def test_bytes_that_are_called_packed_are_not_unpacked(server, tmp_path):
    fetch((a_download(server, "packed"),), tmp_path, print)
    assert (tmp_path / "set.gz").read_bytes() == CONTENT


def test_a_redirection_to_the_same_scheme_is_followed(server, tmp_path):
    server.target = f"{server.url}/good/set.gz"
    fetch((a_download(server, "redirect"),), tmp_path, print)
    assert (tmp_path / "set.gz").read_bytes() == CONTENT


def test_no_redirection_leads_to_a_file_or_round_and_round(server, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    for target, reason in ((secret.as_uri(), "adapter"), ("ftp://127.0.0.1/x", "adapter"), ("/redirect/", "redirects")):
        server.target = target
        with pytest.raises(DataError, match=reason):
            fetch((a_download(server, "redirect"),), tmp_path / "new", print)
        assert list((tmp_path / "new").iterdir()) == []


def test_https_is_never_left_for_http(server, monkeypatch, tmp_path):
    """A session for an https address has no way to speak http."""
    from requests import Session

    monkeypatch.setattr(Session, "get", lambda self, url, **options: self.get_adapter(f"{server.url}/good/set.gz"))
    wanted = Download("set.gz", ("https://127.0.0.1/",), len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    with pytest.raises(DataError, match="No connection adapters were found for 'http:"):
        fetch((wanted,), tmp_path, print)


def test_what_a_killed_download_left_is_removed(server, tmp_path):
    left = tmp_path / f".set.gz.{'0' * 16}.tmp"
    left.write_bytes(b"half")
    fetch((a_download(server, "good"),), tmp_path, print)
    assert [path.name for path in tmp_path.iterdir()] == ["set.gz"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_others_may_read_what_was_downloaded_as_the_umask_allows(server, tmp_path):
    with umask(0o027):
        fetch((a_download(server, "good"),), tmp_path, print)
    assert (tmp_path / "set.gz").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"downloads: cannot be made or opened: Not a directory"):
        fetch((Download("set.gz", ("http://127.0.0.1:9/",), 1, ""),), tmp_path / "file" / "downloads", print)


def test_an_unreachable_host_is_named(tmp_path):
    with pytest.raises(DataError, match=r"127.0.0.1"):
        fetch((Download("set.gz", ("http://127.0.0.1:9/",), 1, "0" * 64),), tmp_path, print)


def test_a_bar_is_drawn_on_a_terminal(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch((a_download(server, "good"),), tmp_path, print)
    assert "set.gz" in capsys.readouterr().err


def test_there_is_no_bar_without_a_thread_for_it(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(threading.Thread, "start", failing(RuntimeError("can't start new thread")))
    with download._progress(OFFICIAL["cifar10"].downloads[0]) as advance:
        advance(1)
    assert capsys.readouterr().err == ""


def test_every_file_has_a_size_a_sha256_and_an_https_mirror():
    for files in OFFICIAL.values():
        for one in files.downloads:
            assert one.size > 0
            assert len(bytes.fromhex(one.sha256)) == 32
            assert all(mirror.endswith("/") for mirror in one.mirrors)
            assert one.mirrors[0].startswith("https://")
