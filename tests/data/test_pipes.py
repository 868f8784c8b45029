"""No reader waits at a pipe, which whoever hands in a folder may have put there."""

import os

import pytest

from xnn.data.archives import read_files
from xnn.data.cache import fingerprint, load
from xnn.data.folder import list_folder
from xnn.data.idx import read_idx
from xnn.data.listing import read_listing
from xnn.data.pictures import open_picture
from xnn.errors import DataError

READERS = {
    "set.tar.gz": lambda path: read_files(path, "set", {"a": range(3, 4)}),
    "file": lambda path: read_files(path.parent, "set", {"file": range(3, 4)}),
    "source": lambda path: fingerprint([path], path.parent),
    "images": read_idx,
    "images.gz": read_idx,
    "class/a.png": lambda path: read_listing(list_folder(path.parents[1])),
    "a.png": lambda path: open_picture(path).__enter__(),
}

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_does_not_keep_anyone_waiting(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    if name == "class/a.png":
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "a.png").touch()
    with pytest.raises(DataError, match=rf"{name}: .*is a pipe or a device"):
        READERS[name](path)


def test_a_pipe_in_place_of_a_cache_is_told_and_no_cache(tmp_path):
    os.mkfifo(tmp_path / "set")
    lines = []
    assert load(tmp_path / "set", lines.append) is None
    assert "set cannot be read (is a pipe or a device" in lines[0]
