"""Things that are no plain files, in the place of one."""

import os
import socket
import struct
import zlib
from pathlib import Path
from random import Random


def clear(path: Path) -> None:
    """Take away what is there."""
    if path.is_dir() and not path.is_symlink():
        for entry in path.iterdir():
            clear(entry)
        path.rmdir()
    elif path.is_symlink() or path.exists():
        path.unlink()


def link(path: Path, outside: Path, random: Random) -> str:
    """Put a symbolic link in the place of a file."""
    targets = {
        "a file outside": outside / "authorized_keys",
        "a folder outside": outside / "folder",
        "nothing, outside": outside / "new",
        "nothing, in a folder that is not there": outside / "none" / "new",
        "itself": Path(path.name),
        "the folder it is in": Path(),
        "the folder above": Path(".."),
        **{f"/dev/{name}": Path("/dev", name) for name in ("zero", "full", "null", "urandom", "stdin")},
        **{f"/proc/self/{name}": Path("/proc/self", name) for name in ("mem", "fd")},
        "a name of 5000 letters": Path("x/" * 2000),
    }
    told = random.choice(sorted(targets))
    clear(path)
    path.symlink_to(targets[told])
    return f"{path.name} is a link to {told}"


def loop(path: Path) -> str:
    """Put two links in the place of a file that lead to each other."""
    clear(path)
    path.symlink_to(f"{path.name}.other")
    path.with_name(f"{path.name}.other").symlink_to(path.name)
    return f"{path.name} is a loop of links"


def moved_outside(path: Path, outside: Path) -> str:
    """Put a link in the place of a file or folder, to that very one, which is elsewhere now."""
    target = outside / f"moved-{path.name}"
    path.rename(target)
    path.symlink_to(target)
    return f"{path.name} is a link to itself, moved elsewhere"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name has at most 108 bytes
        try:
            bound.bind(path.name)
        finally:
            os.chdir(here)


def _full_folder(path: Path) -> None:
    path.mkdir()
    (path / "within").write_text("not empty")


def _device(path: Path) -> None:
    """Make a device of one's own of /dev/zero, which takes root; a link to it elsewhere."""
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        path.symlink_to("/dev/zero")


KINDS = {
    "a FIFO": os.mkfifo,
    "a socket": _socket,
    "an empty folder": Path.mkdir,
    "a folder": _full_folder,
    "a device": _device,
    "missing": lambda path: None,
    "empty": Path.touch,
}


def odd_kind(path: Path, random: Random) -> str:
    """Put something that is no plain file, or no small one, in the place of a file."""
    kinds = [kind for kind in KINDS if kind != "empty" or not path.is_dir()]
    kind = random.choice((*kinds, *(() if path.is_dir() else ("large", "larger"))))
    if kind != "larger":
        clear(path)
    if kind in KINDS:
        KINDS[kind](path)
        return f"{path.name} is {kind}"
    path.touch()
    size = random.choice((2**20, 2**28, 2**32, 2**40))
    os.truncate(path, size)
    return f"{path.name} {'is' if kind == 'large' else 'goes on with'} {size} zero bytes"


_CHUNK = bytes(2**20)


def gzip_of(start: bytes, count: int, end: bytes = b"") -> bytes:
    """Return a gzip file of `start`, then so many MiB of zero bytes, then `end`, with the right checksum."""
    # After a full flush a block depends on nothing before it, so that one will do for all the zeros.
    block = _squeezed(_CHUNK, zlib.Z_FULL_FLUSH)
    body = _squeezed(start, zlib.Z_FULL_FLUSH) + block * count + _squeezed(end, zlib.Z_FINISH)
    checksum = zlib.crc32(start)
    for _ in range(count):
        checksum = zlib.crc32(_CHUNK, checksum)
    size = len(start) + count * len(_CHUNK) + len(end)
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return header + body + struct.pack("<II", zlib.crc32(end, checksum), size % 2**32)


def _squeezed(content: bytes, end: int) -> bytes:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeezer.compress(content) + squeezer.flush(end)
