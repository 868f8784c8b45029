import hashlib
import http.server
import sys
import threading

import pytest

from xnn.data.download import DOWNLOADS, Download, fetch
from xnn.errors import DataError

CONTENT = b"content" * 30_000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requested.append(self.path)
        found = self.path.startswith("/good/")
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(CONTENT) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(CONTENT)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requested = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def a_download(server, *folders, content=CONTENT):
    mirrors = tuple(f"{server.url}/{folder}/" for folder in folders)
    return Download("set.gz", mirrors, hashlib.md5(content).hexdigest())


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


@pytest.mark.parametrize(("folder", "content", "reason"), [("bad", CONTENT, "404"), ("good", b"other", "hash")])
def test_a_failure_leaves_nothing_and_says_what_to_do(server, tmp_path, folder, content, reason):
    with pytest.raises(DataError, match=rf"set.gz could not be downloaded .*{reason}.*--data-dir") as caught:
        fetch((a_download(server, folder, content=content),), tmp_path, print)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_host_is_named(tmp_path):
    with pytest.raises(DataError, match=r"127.0.0.1"):
        fetch((Download("set.gz", ("http://127.0.0.1:9/",), "0" * 32),), tmp_path, print)


def test_a_bar_is_drawn_on_a_terminal(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch((a_download(server, "good"),), tmp_path, print)
    assert "set.gz" in capsys.readouterr().err


def test_checksums_are_md5():
    for downloads in DOWNLOADS.values():
        for download in downloads:
            assert len(bytes.fromhex(download.md5)) == 16
            assert all(mirror.endswith("/") for mirror in download.mirrors)
