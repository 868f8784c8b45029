import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from xnn.data import cache
from xnn.data.splits import Arrays
from xnn.errors import DataError


def sample(seed: int = 0, sizes: tuple[int, int] = (7, 3), kinds: int = 1) -> Arrays:
    rng = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        labels = rng.integers(0, 9, (size, kinds))
        parts += [rng.integers(0, 256, (size, 5, 4, 3), dtype=np.uint8), labels if kinds > 1 else labels[:, 0]]
    return Arrays(*parts)


def same(first: Arrays, second: Arrays) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first, second, strict=True))


def load_or_build(path, lines, arrays=None, fingerprint="print"):
    return cache.load_or_build(path, fingerprint, lambda: (arrays or sample(), ("a", "b")), "the source", lines.append)


def temporary_files(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.tmp")]


@given(seed=st.integers(0, 99), sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)), kinds=st.integers(1, 2))
def test_what_was_cached_is_mapped(seed, sizes, kinds):
    arrays = sample(seed, sizes, kinds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new" / "set.safetensors"
        lines = []
        built = load_or_build(path, lines, arrays)
        again = cache.load(path, lines.append)
        assert same(built.arrays, arrays)
        assert same(again.arrays, arrays)
        assert (again.source, again.classes, again.fingerprint, again.file) == (
            "the source", ("a", "b"), "print", path,
        )  # fmt: skip
        assert lines == []
        assert not again.arrays.train_images.flags.writeable
        assert temporary_files(path.parent) == []


def test_the_source_is_not_read_again(tmp_path):
    path = tmp_path / "set"
    load_or_build(path, [])

    def fail():
        raise AssertionError("read again")

    assert same(cache.load_or_build(path, "print", fail, "elsewhere", print).arrays, sample())


def test_other_tools_can_read_the_file(tmp_path):
    path = tmp_path / "set.safetensors"
    load_or_build(path, [])
    tensors = load_file(path)
    for name, array in sample()._asdict().items():
        np.testing.assert_array_equal(tensors[name], array)


@given(data=st.data())
def test_damage_anywhere_is_mended(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set"
        load_or_build(path, [])
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        else:
            del content[place:]
        path.write_bytes(content)
        lines = []
        assert cache.load(path, lines.append) is None
        assert "set is damaged" in lines[0]
        assert same(load_or_build(path, lines).arrays, sample())
        assert same(cache.load(path, lines.append).arrays, sample())
        assert len(lines) == 2


def test_a_header_nested_too_deeply_is_damage(tmp_path):
    path, lines = tmp_path / "set", []
    header = b"[" * 200_000
    content = len(header).to_bytes(8, "little") + header
    path.write_bytes(content + zlib.crc32(content).to_bytes(4, "little"))
    assert cache.load(path, lines.append) is None
    assert "set is damaged" in lines[0]


def test_another_version_is_made_anew(tmp_path, monkeypatch):
    path, lines = tmp_path / "set", []
    monkeypatch.setattr(cache, "FORMAT_VERSION", 0)
    load_or_build(path, lines)
    monkeypatch.undo()
    assert same(load_or_build(path, lines).arrays, sample())
    assert "its format is 0, expected 1" in lines[0]
    assert len(lines) == 1


def test_a_changed_source_is_read_anew(tmp_path):
    path, lines = tmp_path / "set", []
    load_or_build(path, lines)
    assert same(load_or_build(path, lines, sample(1), "other").arrays, sample(1))
    assert "was made from other files" in lines[0]
    assert same(cache.load(path, lines.append).arrays, sample(1))


def test_fingerprint_tells_files_apart(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    os.utime(file, ns=(0, 10))
    first = cache.fingerprint([file])
    assert cache.fingerprint([file]) == first
    os.utime(file, ns=(0, 11))
    later = cache.fingerprint([file])
    file.write_bytes(b"abcd")
    os.utime(file, ns=(0, 11))
    assert len({first, later, cache.fingerprint([file]), cache.fingerprint([file, file])}) == 4
    with pytest.raises(DataError, match=r"absent: cannot be read"):
        cache.fingerprint([tmp_path / "absent"])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path, lines = tmp_path / "set", []
    load_or_build(path, lines)
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    built = load_or_build(path, lines, sample(1), "other")
    assert same(built.arrays, sample(1))
    assert built.file is None
    assert "set cannot be written (No space left on device)" in lines[-1]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_unusable_cache_folder_is_done_without(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    lines = []
    assert same(load_or_build(tmp_path / "file" / "set", lines).arrays, sample())
    assert "cannot be written" in lines[0]


def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "a"))
    assert cache.cache_directory() == tmp_path / "a"
    assert cache.cache_directory(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("XNN_CACHE_DIR")
    assert cache.cache_directory().name == "xnn"


PROCESS = """
import json, sys, zlib
from xnn.data import load
sys.stdin.readline()
lines = []
dataset = load(sys.argv[1], report=lines.append)
print(json.dumps([zlib.crc32(dataset.train.images.tobytes()), lines]))
"""


def test_processes_that_start_at_once_see_the_same(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(60):
        folder = tmp_path / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    cache_dir = tmp_path / "cache"
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "images")]
    environment = {**os.environ, "XNN_CACHE_DIR": str(cache_dir)}
    for damaged in (False, True):
        processes = [
            subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
        assert [process.returncode for process in processes] == [0] * 4
        assert len({checksum for checksum, _ in results}) == 1
        assert damaged or all(len(lines) == 1 for _, lines in results), results
        (file,) = cache_dir.iterdir()
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
