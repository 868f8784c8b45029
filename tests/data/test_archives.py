import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_files import write_files, write_tar
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
    with pytest.raises(DataError, match=r"absent.tar.gz: cannot be read .No such file"):
        read_files(tmp_path / "absent.tar.gz", "set", SIZES)


def test_changed_content_is_seen_by_the_checksum_at_the_very_end(tmp_path):
    path = write_tar(tmp_path / "set.tar.gz", CONTENTS)
    stored = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    stored[stored.index(b"beta")] ^= 1
    path.write_bytes(stored)
    with pytest.raises(DataError, match=r"set.tar.gz: the archive is truncated or damaged"):
        read_files(path, "set", SIZES)


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
