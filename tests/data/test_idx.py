import gzip
import os
import struct
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.data.small_files import note_reads, note_unpacked, write_idx
from xnn.data import idx, limits
from xnn.data.idx import read_idx, read_pair
from xnn.data.limits import most_unpacked
from xnn.errors import DataError

arrays = npst.arrays(np.uint8, npst.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5))
suffixes = st.sampled_from(["", ".gz"])


def read_bytes(content: bytes, suffix: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data{suffix}"
        path.write_bytes(content)
        return read_idx(path)


def file_bytes(array: np.ndarray, suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data{suffix}"
        write_idx(path, array)
        return path.read_bytes()


@given(array=arrays, suffix=suffixes)
def test_what_was_written_is_read(array, suffix):
    found = read_bytes(file_bytes(array, suffix), suffix)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


@given(array=arrays, suffix=suffixes, data=st.data())
def test_a_file_cut_anywhere_is_refused(array, suffix, data):
    content = file_bytes(array, suffix)
    stop = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError, match=f"data{suffix}: "):
        read_bytes(content[:stop], suffix)


@given(array=arrays, bit=st.integers(0, 7), data=st.data())
def test_a_flipped_bit_in_the_header_is_refused(array, bit, data):
    content = bytearray(file_bytes(array, ""))
    content[data.draw(st.integers(0, 4 + 4 * array.ndim - 1))] ^= 1 << bit
    with pytest.raises(DataError, match=r"data: "):
        read_bytes(bytes(content), "")


@given(array=arrays, bit=st.integers(0, 7), data=st.data())
def test_a_flipped_bit_in_a_gzip_file_never_gives_wrong_data(array, bit, data):
    content = bytearray(file_bytes(array, ".gz"))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << bit
    try:
        found = read_bytes(bytes(content), ".gz")
    except DataError:
        return
    np.testing.assert_array_equal(found, array)


@given(content=st.binary(max_size=100), suffix=suffixes)
def test_any_bytes_are_an_array_or_refused(content, suffix):
    wrapped = gzip.compress(content) if suffix else content
    try:
        found = read_bytes(wrapped, suffix)
    except DataError:
        return
    assert content.endswith(found.tobytes())


def test_messages_name_the_file_and_the_fault(tmp_path):
    good = tmp_path / "good"
    write_idx(good, np.zeros((2, 3), np.uint8))
    content = good.read_bytes()
    faults = {
        "long": (content + b"\0", "too long: 19 bytes, but an array of shape .2, 3. takes 18"),
        "float": (b"\0\0\x0d\x01" + bytes(8), "type 0xd; only unsigned bytes"),
        "zip.gz": (b"PK\x03\x04 and more", "not a gzip file, though its name ends in .gz"),
        "cut.gz": (gzip.compress(content)[:-3], "gzip file is truncated"),
        "bad.gz": (gzip.compress(content)[:-6] + bytes(6), "gzip file is damaged"),
        "empty": (b"", "not an IDX file .it starts with nothing."),
        "none": (b"\0\0\x08\x01\0\0\0\0", "is empty"),
        "axes": (b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"x", "IDX array of 65 axes, expected 1 to 64"),
        "long.gz": (
            gzip.compress(content + b"\0"),
            "too long: 19 bytes or more, but an array of shape .2, 3. takes 18",
        ),
        "huge.gz": (gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12 + b"x"), "truncated: 17 bytes, but an array of shape"),
        "huge": (b"\0\0\x08\x03" + b"\xff" * 12 + b"x", "truncated: 17 bytes, but an array of shape"),
        "short.gz": (gzip.compress(content[:-1]), "truncated: 17 bytes, but an array of shape .2, 3. takes 18"),
    }
    for name, (content, message) in faults.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: .*{message}"):
            read_idx(path)
    with pytest.raises(DataError, match=r"absent: cannot be read: No such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(DataError, match=r"cannot be read: (is a folder|Permission denied)"):
        read_idx(tmp_path)
    with pytest.raises(DataError, match=r"good: IDX array of 2 axes, expected 3"):
        read_idx(good, axes=3)


def test_as_many_axes_as_numpy_has_are_read():
    assert read_bytes(b"\0\0\x08\x40" + b"\0\0\0\1" * 64 + b"x", "").shape == (1,) * 64


@pytest.mark.parametrize(
    ("promised", "message"),
    [((3,), r"too long: 12 bytes or more, but"), ((2**10, 2**10, 2**10), r"refused, its [0-9,]+ bytes unpack to")],
)
def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch, promised, message):
    """A gigabyte of zeros in a megabyte, whether the header promises it or not."""
    header = struct.pack(f">BBBB{len(promised)}I", 0, 0, 8, len(promised), *promised)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header) + gzip.compress(bytes(2**24)) * 64)
    opened = note_unpacked(monkeypatch, idx)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"bomb.gz: {message}"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**28
    assert opened[0].position <= most_unpacked(path.stat().st_size) + 2**20


def test_a_long_name_in_the_header_of_gzip_costs_nothing(tmp_path, monkeypatch):
    """Python's own reader takes one byte at a time, and a second for three megabytes of name."""
    path = tmp_path / "named.gz"
    packed = gzip.compress(file_bytes(np.arange(3, dtype=np.uint8), ""), mtime=0)
    path.write_bytes(packed[:3] + b"\x08" + packed[4:10] + b"x" * 2**20 + b"\0" + packed[10:])
    reads = note_reads(monkeypatch, idx)
    assert read_idx(path).tolist() == [0, 1, 2]
    assert len(reads) < 100


def test_members_and_zeros_that_follow_are_read(tmp_path):
    path = tmp_path / "parts.gz"
    content = file_bytes(np.arange(200, dtype=np.uint8), "")
    parts = b"".join(gzip.compress(content[i : i + 7]) for i in range(0, len(content), 7))
    path.write_bytes(parts + bytes(50_000))
    np.testing.assert_array_equal(read_idx(path), np.arange(200))
    path.write_bytes(parts + bytes(50_000) + b"x")
    with pytest.raises(DataError, match=r"parts.gz: the gzip file is (truncated|damaged)"):
        read_idx(path)


def test_zeros_without_end_are_not_read(tmp_path):
    path = tmp_path / "sparse.gz"
    with path.open("wb") as file:
        file.write(gzip.compress(file_bytes(np.arange(3, dtype=np.uint8), "")))
        file.truncate(2**40)
    with pytest.raises(DataError, match=r"sparse\.gz: refused, the gzip file goes on with more than 1,048,576 zeros"):
        read_idx(path)


def test_a_file_that_does_not_fit_into_memory_is_named(tmp_path):
    """A sparse file has any size, and takes no room on the disk."""
    path = tmp_path / "sparse"
    sizes = 2**31, 2**10, 2
    with path.open("wb") as file:
        file.write(struct.pack(">BBBB3I", 0, 0, 8, 3, *sizes))
        try:
            file.truncate(16 + 2**42)
        except OSError:
            # The file system has smaller files only.
            pytest.skip("no file of four terabytes can be made here")
    with pytest.raises(DataError, match=r"sparse: it needs [0-9,]+ bytes of memory, of which [0-9,]+ are free"):
        read_idx(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_free_memory_is_asked_for_before_the_elements_are_read(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"set{suffix}"
    write_idx(path, np.zeros((2, 3), np.uint8))
    monkeypatch.setattr(limits, "free_memory", lambda: 18)
    assert read_idx(path).shape == (2, 3)
    monkeypatch.setattr(limits, "free_memory", lambda: 17)
    with pytest.raises(DataError, match=rf"set{suffix}: it needs 18 bytes of memory, of which 17 are free"):
        read_idx(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
@pytest.mark.parametrize("name", ["pipe", "pipe.gz"])
def test_a_pipe_does_not_keep_anyone_waiting(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: cannot be read: is a pipe or a device"):
        read_idx(tmp_path / name)


def test_a_pair_must_fit(tmp_path):
    images, labels = tmp_path / "images.gz", tmp_path / "labels.gz"
    write_idx(images, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    write_idx(labels, np.array([0, 9], np.uint8))
    x, y = read_pair(images, labels, 10)
    assert x.shape == (2, 3, 4, 1)
    assert y.dtype == np.int64
    assert y.tolist() == [0, 9]
    with pytest.raises(DataError, match=r"labels.gz: label 9 of image 1 is out of range; the 9 classes are 0 to 8"):
        read_pair(images, labels, 9)
    write_idx(labels, np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"labels.gz: 3 labels, but images.gz beside it holds 2 images"):
        read_pair(images, labels, 10)
