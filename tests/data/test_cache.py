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

from tests.data.small_files import note_reads
from tests.trouble import failing, umask
from xnn.data import cache
from xnn.data.splits import Arrays, Content
from xnn.errors import DataError, FolderGone
from xnn.files import Folder

CLASSES = tuple("abcdefghi")


def sample(seed: int = 0, sizes: tuple[int, ...] = (7, 3), kinds: int = 1) -> Arrays:
    rng = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        labels = rng.integers(0, 9, (size, kinds))
        parts += [rng.integers(0, 256, (size, 5, 4, 3), dtype=np.uint8), labels if kinds > 1 else labels[:, 0]]
    return Arrays(*parts)


def same(first: Arrays, second: Arrays) -> bool:
    pairs = zip(first.named().items(), second.named().items(), strict=True)
    return all(a == b and np.array_equal(x, y) and x.dtype == y.dtype for (a, x), (b, y) in pairs)


def load_or_build(path, lines, arrays=None, fingerprint="print"):
    return cache.load_or_build(
        path, fingerprint, lambda: Content(arrays or sample(), CLASSES, ("a note",)), "the source", lines.append
    )


def temporary_files(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.tmp")]


@given(seed=st.integers(0, 99), sizes=st.lists(st.integers(1, 40), min_size=2, max_size=3), kinds=st.integers(1, 2))
def test_what_was_cached_is_mapped(seed, sizes, kinds):
    arrays = sample(seed, sizes, kinds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new" / "set.safetensors"
        lines = []
        built = load_or_build(path, lines, arrays)
        again = cache.load(path, lines.append)
        assert same(built.arrays, arrays)
        assert same(again.arrays, arrays)
        assert (again.source, again.classes, again.fingerprint, again.notes, again.file) == (
            "the source", CLASSES, "print", ("a note",), path,
        )  # fmt: skip
        assert lines == []
        assert not again.arrays.train_images.flags.writeable
        assert temporary_files(path.parent) == []


def test_the_source_is_not_read_again(tmp_path):
    path, again = tmp_path / "set", failing(AssertionError("read again"))
    load_or_build(path, [])
    assert same(cache.load_or_build(path, "print", again, "elsewhere", print).arrays, sample())


def test_other_tools_can_read_the_file(tmp_path):
    path = tmp_path / "set.safetensors"
    load_or_build(path, [])
    tensors = load_file(path)
    for name, array in sample().named().items():
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


def write_sealed(path, header, length=None, arrays=b""):
    """Write a cache file with a right checksum, whose header may lie about its length."""
    content = (len(header) if length is None else length).to_bytes(8, "little") + header + arrays
    path.write_bytes(content + zlib.crc32(content).to_bytes(4, "little"))


@pytest.mark.parametrize(("header", "length"), [(b"[" * 200_000, None), *((b"{}", n) for n in (2**64 - 1, 2**22, 60))])
def test_a_header_that_is_too_deep_or_longer_than_the_file_is_damage(tmp_path, header, length):
    path, lines = tmp_path / "set", []
    write_sealed(path, header, length)
    assert cache.load(path, lines.append) is None
    assert "set is damaged" in lines[0]


def planted(path, change, arrays=None):
    """Write a cache file whose header somebody changed, with a right checksum."""
    load_or_build(path, [], arrays)
    content = path.read_bytes()[:-4]
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header = change(header) or header
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    write_sealed(path, text, arrays=content[start:])


def entry(array="train_labels", **changes):
    return lambda header: header[array].update(changes)


def manifest(**changes):
    return lambda header: header["__metadata__"].update(changes)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (entry(data_offsets=[0, 2**70]), "an array lies outside of it"),
        (entry(data_offsets=[-56, 0]), "an array lies outside of it"),
        (entry(data_offsets=[56, 0]), "an array does not fill its shape"),
        (entry(data_offsets=[0.0, 56.0]), "an array lies outside of it"),
        (entry(data_offsets=[0]), "not enough values to unpack"),
        (entry(data_offsets="ab"), "an array lies outside of it"),
        (entry(shape=[-7]), "an array lies outside of it"),
        (entry(shape=[2**70]), "an array lies outside of it"),
        (entry(shape=[7] + [1] * 80), "an array does not fill its shape"),
        (entry(shape=[7, 1]), "its labels do not fit its images"),
        (entry(shape=None), ""),
        (entry(shape=[8]), "an array does not fill its shape"),
        (entry(dtype="U8"), "an array does not fill its shape"),
        (entry(dtype="U8", shape=[56]), "its labels do not fit its images"),
        (entry(dtype=[1]), "unhashable"),
        (entry(dtype="x" * 10_000), "'xxx"),
        (entry("train_images", shape=[420]), "its images are not images"),
        (entry("train_images", shape=[0, 5, 4, 3], data_offsets=[0, 0]), "its images are not images"),
        (entry("test_images", shape=[3, 4, 5, 3]), "its images have different shapes"),
        (lambda header: header.update(validation_images=header["test_images"]), "'validation_labels'"),
        (manifest(classes="[1, 2]"), "its classes or its source are not text"),
        (manifest(classes='"abcdefghi"'), "its classes or its source are not text"),
        (manifest(classes=7), "the JSON object must be str"),
        (manifest(classes="[" * 100_000), ""),
        (manifest(classes='["a"]'), "a label has no class"),
        (manifest(notes='[{}]'), "its classes or its source are not text"),
        (manifest(notes='"ab"'), "its classes or its source are not text"),
        (manifest(source=None), "its classes or its source are not text"),
        (manifest(fingerprint=3), "its classes or its source are not text"),
        (manifest(format_version=1), "its format is 1, expected 1"),
        (lambda header: [header], "list indices must be integers"),
        (lambda header: header.pop("test_labels") and None, "'test_labels'"),
        (lambda header: b" " * 2**24, "its header is too long"),
    ],
)  # fmt: skip
def test_a_planted_header_is_damage(tmp_path, change, complaint):
    path, lines = tmp_path / "set", []
    planted(path, change)
    assert cache.load(path, lines.append) is None
    (line,) = lines
    assert f"set is damaged or of another version ({complaint}" in line
    assert len(line) < 400 + len(str(path))
    assert "\n" not in line
    assert same(load_or_build(path, []).arrays, sample())


@pytest.mark.parametrize("label", [-1, 9, 2**62])
@pytest.mark.parametrize("part", [1, 2])
def test_a_planted_label_is_damage(tmp_path, label, part):
    path, lines = tmp_path / "set", []
    arrays = sample(sizes=(7, 3, 4))
    arrays.pairs[part][1][1] = label
    load_or_build(path, [], arrays)
    assert cache.load(path, lines.append) is None
    assert "a label has no class" in lines[0]


def test_no_link_is_followed_and_what_it_leads_to_stays(tmp_path):
    path, lines = tmp_path / "cache" / "set", []
    load_or_build(tmp_path / "secret", [], sample(1))
    secret = (tmp_path / "secret").read_bytes()
    path.parent.mkdir()
    path.symlink_to(tmp_path / "secret")
    assert same(load_or_build(path, lines).arrays, sample())
    assert "set cannot be read (is a symbolic link" in lines[0]
    assert (tmp_path / "secret").read_bytes() == secret
    assert not path.is_symlink()
    assert same(cache.load(path, lines.append).arrays, sample())


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path):
    left, others = tmp_path / f".set.{'0' * 16}.tmp", tmp_path / "mine.tmp"
    left.write_bytes(b"half")
    others.write_bytes(b"not ours")
    load_or_build(tmp_path / "set", [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.tmp", "set"]


def test_what_cannot_be_removed_stays(tmp_path, monkeypatch):
    """In a folder that many share, a leftover may be somebody else's."""
    left, lines = tmp_path / f".set.{'0' * 16}.tmp", []
    left.write_bytes(b"half")
    opened = Folder.open

    def refuse(folder, name, flags):
        if name == left.name:
            raise PermissionError(13, "Permission denied")
        return opened(folder, name, flags)

    monkeypatch.setattr(Folder, "open", refuse)
    assert load_or_build(tmp_path / "set", lines).file == tmp_path / "set"
    assert lines == []
    assert left.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o002, 0o664), (0o027, 0o640), (0o077, 0o600)])
def test_others_may_read_the_cache_as_the_umask_allows(tmp_path, mask, mode):
    with umask(mask):
        load_or_build(tmp_path / "set", [])
    assert (tmp_path / "set").stat().st_mode & 0o777 == mode


def test_a_folder_that_goes_while_the_cache_is_written_is_reported(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(Folder, "check", failing(FolderGone("the folder was deleted")))
    assert same(load_or_build(tmp_path / "set", lines).arrays, sample())
    assert lines == [f"the cache {tmp_path / 'set'} cannot be written (the folder was deleted); going on without it"]


def test_classes_with_endless_names_are_not_cached(tmp_path):
    lines = []
    names = tuple("x" * 2**20 for _ in range(9))
    assert (
        cache.load_or_build(tmp_path / "set", "", lambda: Content(sample(), names), "here", lines.append).file is None
    )
    assert "cannot be written (the names of its classes take too much room)" in lines[0]


def test_another_version_is_made_anew(tmp_path, monkeypatch):
    path, lines = tmp_path / "set", []
    monkeypatch.setattr(cache, "FORMAT_VERSION", 0)
    load_or_build(path, lines)
    monkeypatch.undo()
    assert same(load_or_build(path, lines).arrays, sample())
    assert "its format is 0, expected 1" in lines[0]
    assert len(lines) == 1


def test_a_file_of_an_earlier_version_has_no_notes(tmp_path):
    path, lines = tmp_path / "set", []
    planted(path, lambda header: header["__metadata__"].pop("notes") and None)
    assert cache.load(path, lines.append).notes == ()
    assert lines == []


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
    first = cache.fingerprint([file], tmp_path)
    assert cache.fingerprint([file], tmp_path) == first
    os.utime(file, ns=(0, 11))
    later = cache.fingerprint([file], tmp_path)
    file.write_bytes(b"abcd")
    os.utime(file, ns=(0, 11))
    assert len({first, later, cache.fingerprint([file], tmp_path), cache.fingerprint([file, file], tmp_path)}) == 4
    with pytest.raises(DataError, match=r"absent: cannot be read"):
        cache.fingerprint([tmp_path / "absent"], tmp_path)
    absent = [cache.fingerprint([tmp_path / name], tmp_path, unreadable=True) for name in ("absent", "gone")]
    assert len({*absent, first, later, cache.fingerprint([file], tmp_path, unreadable=True)}) == 5


def test_fingerprint_does_not_tell_where_the_folder_is(tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b" / "c"):
        (folder / "x").mkdir(parents=True)
        (folder / "x" / "1").write_bytes(b"abc")
        os.utime(folder / "x" / "1", ns=(0, 10))
    first, second = tmp_path / "a", tmp_path / "b" / "c"
    there = cache.fingerprint([second / "x" / "1"], second)
    assert cache.fingerprint([first / "x" / "1"], first) == there
    assert cache.fingerprint([first / "x" / "1"], first / "x") != there


@pytest.mark.parametrize(
    ("source", "found"), [("a/downloads/set", "b/downloads/set"), ("data/set", "data/set"), ("a2/set", "a2/set")]
)
def test_a_source_within_the_cache_moves_with_it_and_no_other(tmp_path, source, found):
    path = tmp_path / "a" / "set"
    built = cache.load_or_build(path, "", lambda: Content(sample(), CLASSES), str(tmp_path / source), print)
    assert built.source == str(tmp_path / source)
    path.parent.rename(tmp_path / "b")
    assert cache.load(tmp_path / "b" / "set", print).source == str(tmp_path / found)


@pytest.mark.parametrize("size", [1, 3 * 2**16, 3 * 2**16 + 1, 2**20])
@pytest.mark.parametrize("many", [False, True])
def test_fingerprint_sees_changes_that_size_and_time_do_not_tell(tmp_path, monkeypatch, size, many):
    """At the beginning, in the middle, and at the end; anywhere in a small file."""
    monkeypatch.setattr(cache, "_FEW", 0 if many else 1)
    file = tmp_path / "a"
    places = {None, 0, size // 2, size - 1}
    prints = set()
    for place in places:
        content = bytearray(size)
        if place is not None:
            content[place] = 1
        file.write_bytes(content)
        os.utime(file, ns=(0, 10))
        prints.add(cache.fingerprint([file], tmp_path))
    assert len(prints) == len(places)


def test_fingerprint_reads_blocks_of_a_large_file_only(tmp_path, monkeypatch):
    """Three, even of a sparse file of a terabyte."""
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**40)
    reads = note_reads(monkeypatch, cache)
    cache.fingerprint([tmp_path / "a"], tmp_path)
    assert reads == [2**16] * 3


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path, lines = tmp_path / "set", []
    load_or_build(path, lines)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", failing(OSError(28, "No space left on device")))
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
