import gzip
import io
import os
import tarfile
import tracemalloc
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_files import note_unpacked, write_files, write_tar
from xnn.data import archives, limits
from xnn.data.archives import read_files
from xnn.errors import DataError

SIZES = {"a": range(3, 4), "b": range(2, 5)}
CONTENTS = {"set/a": b"abc", "set/readme": b"not wanted", "set/b": b"beta"}


def member(name: str, **attributes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def test_a_folder_and_an_archive_give_the_same(tmp_path):
    expected = {"a": b"abc", "b": b"beta"}
    assert read_files(write_files(tmp_path / "set", expected), "set", SIZES) == expected
    before = sorted(tmp_path.rglob("*"))
    path = write_tar(tmp_path / "set.tar.gz", CONTENTS)
    assert read_files(path, "set", SIZES) == expected
    assert read_files(write_tar(path, {f"./{name}": c for name, c in CONTENTS.items()}), "set", SIZES) == expected
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path]), "nothing is extracted"


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside"),
        member("set/../../outside"),
        member("/etc/outside"),
        member("..\\outside"),
        member("set/link", type=tarfile.SYMTYPE, linkname="/etc"),
        member("set/a", type=tarfile.LNKTYPE, linkname="../outside"),
        member("set/device", type=tarfile.CHRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_a_member_that_escapes_is_refused(tmp_path, bad):
    path = write_tar(tmp_path / "set.tar.gz", CONTENTS, bad)
    with pytest.raises(DataError) as caught:
        read_files(path, "set", SIZES)
    assert "set.tar.gz: refused" in str(caught.value)
    assert f"'{bad.name}'" in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == [path]


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.map": "1,x"},
        {"GNU.sparse.size": "many", "GNU.sparse.map": "0,3"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "set/a", "GNU.sparse.realsize": "x"},
    ],
    ids=["map", "size", "realsize"],
)
def test_bad_extended_headers_are_damage(tmp_path, headers):
    path = tmp_path / "set.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member("set/a", size=3, pax_headers=headers), io.BytesIO(b"abc"))
    with pytest.raises(DataError, match=r"set.tar.gz: the archive is truncated or damaged"):
        read_files(path, "set", {"a": SIZES["a"]})


def test_missing_and_misshapen_files_are_named(tmp_path):
    folder = write_files(tmp_path / "set", {"a": b"abc"})
    with pytest.raises(DataError, match=r"set/b: missing"):
        read_files(folder, "set", SIZES)
    write_files(folder, {"b": b"12345"})
    with pytest.raises(DataError, match=r"set/b: wrong length: 5 bytes, expected 2 to 4"):
        read_files(folder, "set", SIZES)
    (folder / "b").unlink()
    (folder / "b").mkdir()
    with pytest.raises(DataError, match=r"set/b: "):
        read_files(folder, "set", {"b": range(10**6)})
    path = write_tar(tmp_path / "set.tar.gz", {"set/a": b"abc", "other/b": b"beta"})
    with pytest.raises(DataError, match=r"set.tar.gz: lacks set/b"):
        read_files(path, "set", SIZES)
    path = write_tar(tmp_path / "set.tar.gz", {"set/a": b"abcd"})
    with pytest.raises(DataError, match=r"set.tar.gz:set/a: wrong length: 4 bytes, expected 3"):
        read_files(path, "set", SIZES)
    with pytest.raises(DataError, match=r"absent.tar.gz: cannot be read: No such file"):
        read_files(tmp_path / "absent.tar.gz", "set", SIZES)


def test_changed_content_is_seen_by_the_checksum_at_the_very_end(tmp_path):
    path = write_tar(tmp_path / "set.tar.gz", CONTENTS)
    stored = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    stored[stored.index(b"beta")] ^= 1
    path.write_bytes(stored)
    with pytest.raises(DataError, match=r"set.tar.gz: the gzip file is damaged .*incorrect data check"):
        read_files(path, "set", SIZES)


def header(name, size, kind):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


HEADERS = {"PAX": tarfile.XHDTYPE, "global PAX": tarfile.XGLTYPE, "long name": tarfile.GNUTYPE_LONGNAME}


def check_refused(path, message):
    """Check that an archive is refused for a reason, with little unpacked and in little memory."""
    tracemalloc.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            opened = note_unpacked(patch, archives)
            with pytest.raises(DataError, match=message):
                read_files(path, "set", SIZES)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**26
    assert opened[0].position < 2**27


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_of_a_gigabyte_is_not_unpacked(tmp_path, kind):
    path = tmp_path / "set.tar.gz"
    path.write_bytes(gzip.compress(header("set/a", 2**30, HEADERS[kind])) + gzip.compress(bytes(2**24)) * 64)
    check_refused(path, r"set.tar.gz: refused, its headers are larger than those of a data set")


@pytest.mark.parametrize(("size", "message"), [(4096, "lacks set/a"), (4097, "refused, its headers are larger")])
def test_a_name_may_be_as_long_as_a_path(tmp_path, size, message):
    path = tmp_path / "set.tar.gz"
    name = header("././@LongLink", size, tarfile.GNUTYPE_LONGNAME) + (b"x" * (size - 1)).ljust(
        -(-size // 512) * 512, b"\0"
    )
    path.write_bytes(gzip.compress(name + header("x", 0, tarfile.REGTYPE) + bytes(1024)))
    check_refused(path, f"set.tar.gz: {message}")


def test_headers_without_end_are_refused(tmp_path):
    path = tmp_path / "set.tar.gz"
    for each in (header("set/x", 0, tarfile.REGTYPE), header("p", 512, tarfile.XHDTYPE) + bytes(512)):
        path.write_bytes(gzip.compress(each * 1000))
        check_refused(path, r"set.tar.gz: (refused, its headers are larger|the archive is truncated or damaged)")


def test_sparse_members_are_refused(tmp_path):
    path = tmp_path / "set.tar.gz"
    old = bytearray(header("set/a", 3, tarfile.GNUTYPE_SPARSE))
    old[483:495] = b"00000000003\0"
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    path.write_bytes(gzip.compress(bytes(old) + b"abc".ljust(512, b"\0") + bytes(1024)))
    check_refused(path, r"set.tar.gz: refused, its member 'set/a' is .* sparse")
    sparse = {"GNU.sparse.map": "0,3", "GNU.sparse.size": "3"}
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member("set/a", size=3, pax_headers=sparse), io.BytesIO(b"abc"))
    check_refused(path, r"set.tar.gz: refused, its member 'set/a' is .* sparse")


def test_a_map_of_a_sparse_member_without_end_is_not_read(tmp_path):
    path = tmp_path / "set.tar.gz"
    pax = b"".join(b"%d %s\n" % (len(text) + 4, text) for text in (b"GNU.sparse.major=1", b"GNU.sparse.minor=0"))
    head = header("pax", len(pax), tarfile.XHDTYPE) + pax.ljust(512, b"\0") + header("set/a", 2**30, tarfile.REGTYPE)
    path.write_bytes(gzip.compress(head) + gzip.compress(b"1" * 2**24) * 64)
    check_refused(path, r"set.tar.gz: (refused, its headers are larger|the archive is truncated or damaged)")


def test_what_follows_the_members_is_not_read_without_end(tmp_path):
    path = write_tar(tmp_path / "set.tar.gz", CONTENTS)
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(2**24)) * 64)
    check_refused(path, r"set.tar.gz: refused, more than 67,108,871 bytes come out of it")


def test_members_that_overlap_are_damage(tmp_path):
    """A negative size would lead back to the member before it, for ever."""
    path = tmp_path / "set.tar.gz"
    info = header("set/x", 0, tarfile.REGTYPE)
    negative = bytearray(info)
    negative[124:136] = (256**12 - 512).to_bytes(12, "big")
    negative[148:156] = b" " * 8
    negative[148:156] = b"%06o\0 " % sum(negative)
    path.write_bytes(gzip.compress(info + bytes(negative) + bytes(1024)))
    check_refused(path, r"set.tar.gz: the archive is truncated or damaged")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_a_pipe_does_not_keep_anyone_waiting(tmp_path):
    os.mkfifo(tmp_path / "set.tar.gz")
    os.mkfifo(tmp_path / "a")
    for path in (tmp_path / "set.tar.gz", tmp_path):
        with pytest.raises(DataError, match=r"cannot be read: is a pipe or a device"):
            read_files(path, "set", SIZES)


@pytest.mark.parametrize("name", [".", "set.tar.gz"])
def test_the_free_memory_is_asked_for_before_anything_is_read(tmp_path, monkeypatch, name):
    write_files(tmp_path, {"a": b"abc", "b": b"be"})
    write_tar(tmp_path / "set.tar.gz", {"set/a": b"abc", "set/b": b"be"})
    monkeypatch.setattr(limits, "free_memory", lambda: 5)
    assert read_files(tmp_path / name, "set", SIZES) == {"a": b"abc", "b": b"be"}
    monkeypatch.setattr(limits, "free_memory", lambda: 4)
    monkeypatch.setattr(archives, "open_regular", None)
    with pytest.raises(DataError, match=r"it needs 5 bytes of memory, of which 4 are free"):
        read_files(tmp_path / name, "set", SIZES)


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path, monkeypatch):
    write_files(tmp_path, {"a": b"abc", "b": b"x"})
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda file: SimpleNamespace(st_size=3, st_mode=fstat(file).st_mode))
    with pytest.raises(DataError, match=r"/b: wrong length: 1 bytes, expected 2 to 4"):
        read_files(tmp_path, "set", SIZES)


@given(data=st.data())
def test_an_archive_cut_or_damaged_anywhere_never_gives_wrong_data(tmp_path_factory, data):
    path = write_tar(tmp_path_factory.mktemp("tar") / "set.tar.gz", CONTENTS)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        found = read_files(path, "set", SIZES)
    except DataError:
        return
    assert found == {"a": b"abc", "b": b"beta"}
