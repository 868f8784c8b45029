"""Files are written whole, through no link, into the folder that was opened; and only regular ones are read."""

import errno
import io
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import files
from xnn.errors import FolderGone, RunError
from xnn.files import Folder, append, is_temporary, open_regular, write_atomically

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 200
)

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files, or does not let everybody make them")


@pytest.fixture(params=["descriptor", "path"])
def folder(request, tmp_path, monkeypatch):
    """A folder, by descriptor and as on a system that knows files by paths alone."""
    if request.param == "path":
        monkeypatch.setattr(files, "_BY_DESCRIPTOR", False)
    elif not files._BY_DESCRIPTOR:
        pytest.skip("this system names no file by an open folder")
    with Folder(tmp_path) as opened:
        yield opened


@given(name=NAMES, old=st.none() | st.binary(max_size=20), pieces=st.lists(st.binary(max_size=50), max_size=4))
def test_what_is_written_is_read_and_nothing_else_is_left(name, old, pieces):
    with tempfile.TemporaryDirectory() as place, Folder(Path(place)) as folder:
        if old is not None:
            folder.write(name, old)
        folder.write(name, pieces)
        content = b"".join(pieces)
        assert folder.read(name, len(content)) == content
        assert folder.names() == [name]
        assert folder.size(name) == len(content)


@posix
def test_a_new_file_has_the_mode_of_the_umask(folder):
    before = os.umask(0o027)
    try:
        folder.write("file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder.path / "file").stat().st_mode) == 0o640


@posix
@pytest.mark.parametrize("planted", ["file", "nothing", "folder"])
def test_nothing_is_written_through_a_link(folder, tmp_path_factory, planted):
    outside = tmp_path_factory.mktemp("outside")
    target = outside / "target"
    if planted == "file":
        target.write_text("keep")
    elif planted == "folder":
        target = outside
    (folder.path / "link").symlink_to(target)
    with pytest.raises(OSError, match="is a symbolic link, which is not followed here"):
        folder.append("link", b"harm")
    with pytest.raises(OSError, match="is a symbolic link, which is not followed here"):
        folder.read("link", 100)
    with pytest.raises(OSError, match="is not a folder, or is a link to one"):
        folder.child("link", make=True)
    assert not folder.has("link")
    folder.write("link", b"new")  # takes the link's place
    assert folder.read("link", 3) == b"new"
    assert [path.name for path in outside.iterdir()] == (["target"] if planted == "file" else [])
    assert planted != "file" or target.read_text() == "keep"


def test_a_temporary_name_that_is_taken_is_not_written_to(folder, monkeypatch):
    """Nobody can guess it; if somebody could, the write would fail."""
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    planted = folder.path / f".file.{'0' * 16}.tmp"
    planted.write_text("planted")
    with pytest.raises(FileExistsError):
        folder.write("file", b"content")
    assert planted.read_text() == "planted"
    assert folder.names() == [planted.name]


@posix
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_regular_files_are_read(folder, kind):
    place = folder.path / "odd"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    target = Path("/dev/zero") if kind == "device" else place
    complaint = "is a folder" if kind == "folder" else "is a pipe or a device, not a regular file"
    with pytest.raises(OSError, match=complaint):
        open_regular(target)
    if kind != "device":
        with pytest.raises(OSError, match=complaint):
            folder.read("odd", 100)
        assert not folder.has("odd")


def test_a_file_that_is_too_large_is_not_read(folder):
    with (folder.path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(OSError, match="is larger than the 1,000,000 bytes that such a file may have"):
        folder.read("sparse", 10**6)


def test_a_file_that_grows_while_it_is_read_is_cut_off(folder, monkeypatch):
    folder.write("file", b"12345")
    status = os.fstat

    def small(descriptor):
        found = list(status(descriptor))
        found[6] = 3  # its size
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", small)
    with pytest.raises(OSError, match="is larger than the 3 bytes"):
        folder.read("file", 3)


@posix
@pytest.mark.parametrize("harm", ["deleted", "renamed", "replaced"])
def test_a_folder_that_is_gone_is_noticed_before_anything_is_written(tmp_path, harm):
    place = tmp_path / "place"
    place.mkdir()
    with Folder(place) as folder:
        folder.append("log", b"1")
        if harm == "deleted":
            (place / "log").unlink()
            place.rmdir()
        else:
            place.rename(tmp_path / "elsewhere")
        if harm == "replaced":
            place.mkdir()
        for act in (
            lambda: folder.append("log", b"2"),
            lambda: folder.write("file", b"2"),
            lambda: folder.child("inside", make=True),
        ):
            with pytest.raises(FolderGone, match="was deleted, renamed or replaced while it was in use"):
                act()
    left = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == ({} if harm == "deleted" else {"log": b"1"})


@pytest.mark.parametrize(
    ("name", "temporary"),
    [(".a.0123456789abcdef.tmp", True), (".config.json.123.tmp", True), ("a.0f.tmp", False), (".a.tmp", False)],
)
def test_leftovers_are_known_by_their_names(name, temporary):
    assert is_temporary(name) is temporary


@posix
def test_leftovers_are_removed_and_files_in_use_are_not(folder):
    if not files._BY_DESCRIPTOR:
        pytest.skip("there the system refuses to delete an open file")
    used = f".used.{'1' * 16}.tmp"
    for name in (f".dead.{'0' * 16}.tmp", used, ".other.tmp"):
        folder.write(name, b"")
    (folder.path / f".odd.{'2' * 16}.tmp").mkdir()
    hold = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True);"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(folder.path / used)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        folder.remove_temporaries()
        assert folder.names() == [f".odd.{'2' * 16}.tmp", ".other.tmp", used]
        other.stdin.close()
    folder.remove_temporaries()
    assert used not in folder.names()


def test_what_another_process_took_for_a_leftover_is_begun_again(folder, monkeypatch):
    if not files._BY_DESCRIPTOR:
        pytest.skip("a system that deletes no open file")
    taken, hold = [], files._hold

    def intrude(descriptor):
        if not taken:
            taken.extend(folder.names())
            (folder.path / taken[0]).unlink()
        return hold(descriptor)

    monkeypatch.setattr(files, "_hold", intrude)
    folder.write("file", iter([b"whole ", b"content"]))
    assert taken
    assert folder.names() == ["file"]
    assert folder.read("file", 13) == b"whole content"


def test_a_folder_that_was_closed_is_of_no_more_use(tmp_path):
    with Folder(tmp_path) as folder:
        folder.write("file", b"")
    for act in (lambda: folder.read("file", 1), lambda: folder.write("other", b""), folder.names):
        with pytest.raises(ValueError, match="is closed"):
            act()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_stays_itself_where_the_program_goes_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path)
    with Folder(Path("place")) as folder:
        monkeypatch.chdir("/")
        folder.write("file", b"")
    assert (tmp_path / "place" / "file").exists()


def test_a_folder_that_cannot_be_asked_is_not_said_to_be_gone(tmp_path, monkeypatch):
    def stale(self, **options):
        raise OSError(errno.EIO, "Input/output error")

    with Folder(tmp_path) as folder:
        monkeypatch.setattr(Path, "stat", stale)
        with pytest.raises(OSError, match="Input/output error"):
            folder.append("file", b"")


def test_a_write_that_takes_a_part_at_a_time_is_whole_at_the_end(tmp_path, monkeypatch):
    class Slow(io.FileIO):
        def write(self, content):
            return super().write(content[:3])

    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: io.BufferedWriter(Slow(descriptor, mode)))
    write_atomically(tmp_path / "file", b"0123456789")
    append(tmp_path / "file", b"abcd")
    assert (tmp_path / "file").read_bytes() == b"0123456789abcd"


def test_a_failing_write_leaves_what_was_there(folder, monkeypatch):
    folder.write("file", b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"cannot write .*file: No space left on device"):
        write_atomically(folder.path / "file", b"new")
    assert folder.read("file", 3) == b"old"
    assert folder.names() == ["file"]
