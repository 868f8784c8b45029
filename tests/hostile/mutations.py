"""Mutations of bytes, whatever they mean."""

from random import Random

Told = tuple[bytes, str]
"""What came of it, and what was done, in words."""


def torn(content: bytes, random: Random) -> Told:
    """Cut bytes off, flip, insert, delete or repeat some."""
    change = random.choice((_truncated, _truncated, _flipped, _flipped, _inserted, _deleted, _repeated, _zeroed))
    if not content:
        change = _inserted
    return change(content, random)


def _truncated(content: bytes, random: Random) -> Told:
    size = random.choice((0, 1, len(content) - 1, random.randrange(len(content))))
    return content[:size], f"cut to {size} of {len(content)} bytes"


def _flipped(content: bytes, random: Random) -> Told:
    changed = bytearray(content)
    bits = [random.randrange(8 * len(content)) for _ in range(random.choice((1, 1, 2, 30)))]
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed), f"with flipped bits {bits}"


def _span(content: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(content))
    return start, min(len(content), start + random.choice((1, 2, 8, 100, len(content))))


def _inserted(content: bytes, random: Random) -> Told:
    place, count = random.randrange(len(content) + 1), random.choice((1, 2, 8, 1000))
    return content[:place] + random.randbytes(count) + content[place:], f"with {count} bytes more at {place}"


def _deleted(content: bytes, random: Random) -> Told:
    start, stop = _span(content, random)
    return content[:start] + content[stop:], f"without bytes {start} to {stop}"


def _repeated(content: bytes, random: Random) -> Told:
    start, stop = _span(content, random)
    times = random.choice((2, 3, 100))
    return content[:stop] + content[start:stop] * times + content[stop:], f"with bytes {start} to {stop} {times} times"


def _zeroed(content: bytes, random: Random) -> Told:
    start, stop = _span(content, random)
    filler = random.choice((b"\0", b"\xff", b" "))
    return content[:start] + filler * (stop - start) + content[stop:], f"with {filler!r} from {start} to {stop}"
