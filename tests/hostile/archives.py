"""Mutations of tar archives, compressed by gzip, and of gzip files: with the checksums made right."""

import gzip
import io
import tarfile
from random import Random

from tests.hostile.files import gzip_of
from tests.hostile.json_values import TEXTS
from tests.hostile.mutations import torn

BLOCK = 512
LARGE = 640
"""MiB of zero bytes that a file of a few hundred kB may stand for: a tenth of what has done harm."""

FIELDS = {"name": 100, "mode": 8, "uid": 8, "gid": 8, "size": 12, "mtime": 12, "checksum": 8, "kind": 1, "link": 100}

PAX_KEYS = (
    *("size", "path", "linkpath", "mtime", "uid", "hdrcharset", "comment", "", "\x1b[31m"),
    *(f"GNU.sparse.{name}" for name in ("map", "size", "major", "realsize", "numblocks", "name")),
)
PAX_VALUES = (
    *("-1", "0", "nan", "1e400", "x", "", str(2**70), "9" * 5000, "../x", "/x", "\x1b[2J", "1,2,3", "0,1", "a" * 10**5),
)

Member = tuple[str, bytes]


def members(content: bytes) -> list[Member]:
    """Return the files of a ``.tar.gz``."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive if member.isfile()]


def tar(parts: list[Member], *extra: tarfile.TarInfo) -> bytes:
    """Return a tar archive of some files, after other members, whose contents are zeros."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in extra:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
        for name, content in parts:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def head(name: bytes, size: int, kind: bytes) -> bytes:
    """Return the header of a member, its checksum right; a size of any magnitude."""
    number = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    block = bytearray(name[:100].ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + number + b"00000000000\0")
    block += b" " * 8 + kind + bytes(100) + b"ustar\x0000"
    block += bytes(BLOCK - len(block))
    return with_checksum(block)


def with_checksum(block: bytearray) -> bytes:
    """Return a header with its checksum made right."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def pax(pairs: dict[str, str], kind: bytes = b"x") -> bytes:
    """Return an extended header."""
    text = b""
    for key, value in pairs.items():
        record = f" {key}={value}\n".encode("utf-8", "surrogateescape")
        size = len(record) + len(str(len(record) + 3))
        text += str(size).encode() + record
    return head(b"PaxHeader", len(text), kind) + padded(text)


def archive(content: bytes, random: Random) -> tuple[bytes, str]:
    """Mutate a ``.tar.gz``."""
    kind = random.randrange(10)
    if kind < 3:
        return gzipped(content, random)
    if kind == 3:
        return _odd_field(gzip.decompress(content), random)
    if kind in (4, 5):
        return _odd_member(members(content), random)
    if kind in (6, 7):
        return _odd_pax(members(content), random)
    if kind == 8:
        return _bomb(members(content), random)
    return _odd_contents(members(content), random)


def _odd_field(plain: bytes, random: Random) -> tuple[bytes, str]:
    block = bytearray(plain[:BLOCK])
    name = random.choice(sorted(FIELDS))
    start = sum(size for key, size in list(FIELDS.items())[: list(FIELDS).index(name)])
    size = FIELDS[name]
    filled = [filler * size for filler in (b"\xff", b"\0", b"7", b" ")]
    odd = random.choice((*filled, b"\x80" + b"\xff" * size, b"-1", b"x", random.randbytes(size)))
    block[start : start + size] = odd[:size].ljust(size, b"\0")
    changed = bytes(block) if name == "checksum" else with_checksum(block)
    return gzip.compress(changed + plain[BLOCK:], 1), f"whose first member has {name} {odd[:12]!r}"


def _odd_gzip(content: bytes, random: Random) -> tuple[bytes, str]:
    plain = gzip.decompress(content)
    half = len(plain) // 2
    return random.choice(
        (
            (content + content, "twice"),
            (content + b"garbage", "with garbage after it"),
            (content + bytes(1000), "with zeros after it"),
            (gzip.compress(plain[:half]) + gzip.compress(plain[half:]), "in two parts"),
            (gzip.compress(content), "compressed twice"),
            (plain, "not compressed"),
            (content[:-8] + bytes(8), "with a wrong checksum"),
            (content[:-4] + b"\xff" * 4, "with a wrong length"),
            (content[:3] + b"\x08" + content[4:10] + b"n" * 10**6 + content[10:], "with a name of a million letters"),
            (gzip.compress(b""), "of nothing"),
            (gzip.compress(bytes(10_240)), "of an empty archive"),
            (b"\x1f\x8b", "of two bytes"),
        )
    )


def _odd_member(parts: list[Member], random: Random) -> tuple[bytes, str]:
    folder = parts[0][0].rpartition("/")[0]
    if random.random() < 0.5:
        names = (*TEXTS, parts[0][0], folder, "../x", "/x", f"{folder}/../../x")
        member = tarfile.TarInfo(random.choice(names)[:3000].replace("\ud800", "x"))
        member.type = random.choice((b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"Z"))
        member.linkname = random.choice(("/etc/passwd", "..", parts[0][0], "x"))
        return gzip.compress(tar(parts, member), 1), f"with a member {member.name[:40]!r} of type {member.type!r}"
    size = random.choice((1, 2**31, 8**11 - 1, 2**63, 2**80))
    kind = random.choice((b"0", b"L", b"K", b"x", b"g", b"S", b"5", b"2"))
    before = head(random.choice((b"x", parts[0][0].encode(), b"././@LongLink")), size, kind)
    return gzip.compress(before + tar(parts), 1), f"with a member of type {kind!r} that claims {size} bytes"


def _odd_pax(parts: list[Member], random: Random) -> tuple[bytes, str]:
    key, value = random.choice(PAX_KEYS), random.choice(PAX_VALUES)
    kind = random.choice((b"x", b"g", b"X"))
    pairs = {key: value}
    if key.startswith("GNU"):
        pairs |= {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": parts[0][0]} | pairs
    if random.random() < 0.2:
        pairs |= {f"key{number}": "v" for number in range(20_000)}
    return gzip.compress(pax(pairs, kind) + tar(parts), 1), f"with an extended header {key!r}: {value[:20]!r}"


def _bomb(parts: list[Member], random: Random) -> tuple[bytes, str]:
    kind = random.randrange(5)
    plain = tar(parts)
    if kind < 3:
        letter = (b"x", b"L", b"0")[kind]
        name = parts[0][0].encode() if letter == b"0" else b"x"
        content = gzip_of(head(name, LARGE * 2**20, letter), LARGE, plain)
        return content, f"with {LARGE} MiB in a header of type {letter!r}"
    if kind == 3:
        one = head(b"x", 0, b"0")
        return gzip.compress(one * 100_000 + plain, 1), "with 100,000 empty members before it"
    chain = pax({"comment": "x"}) * 20_000
    return gzip.compress(chain + plain, 1), "with 20,000 extended headers in a row"


def _odd_contents(parts: list[Member], random: Random) -> tuple[bytes, str]:
    number = random.randrange(len(parts))
    name, content = parts[number]
    kind = random.randrange(5)
    if kind == 0:
        content, told = torn(content, random)
        parts[number] = (name, content)
        return gzip.compress(tar(parts), 1), f"whose {name} is {told}"
    if kind == 1:
        del parts[number]
        return gzip.compress(tar(parts), 1), f"without {name}"
    if kind == 2:
        return gzip.compress(tar([*parts, (name, b"other")]), 1), f"with {name} twice"
    if kind == 3:
        parts[number] = (f"./{name}", content)
        return gzip.compress(tar(parts), 1), f"with ./{name}"
    parts[number] = (name.replace("/", "//"), content)
    return gzip.compress(tar(parts), 1), f"with two slashes in {name}"


def gzipped(content: bytes, random: Random) -> tuple[bytes, str]:
    """Mutate a gzip file, whatever it holds."""
    kind = random.randrange(4)
    if kind == 0:
        return torn(content, random)
    if kind == 1:
        return _odd_gzip(content, random)
    if kind == 2:
        plain, told = torn(gzip.decompress(content), random)
        return gzip.compress(plain, 1), f"{told}, compressed anew"
    start = gzip.decompress(content)
    start = random.choice((start, start[:16], b""))
    return gzip_of(start, LARGE), f"of {len(start)} bytes and {LARGE} MiB of zeros"
