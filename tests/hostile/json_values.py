"""Mutations of JSON: odd values in every field, and texts that are no JSON any more."""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.hostile.mutations import torn

Path = tuple[str | int, ...]


class Raw(str):
    """A token as it is to stand in the text, as no value of Python's would be written."""

    __slots__ = ()


MARKUP = (
    "<script>alert(1)</script>",
    "</title></style></svg></script><planted planted=1>",
    '"><img src=x onerror=planted>',
    "' onmouseover='planted' x='",
    "x</span><iframe src=javascript:planted>",
    "<!--<planted>-->&lt;planted&gt;",
    "</textarea><a href=https://planted.example>x</a>",
    '<meta http-equiv="refresh" content="0;url=https://planted.example">',
    "<svg/onload=planted>",
    "]]><planted/>",
    "{{planted}}${planted}%s{0}{planted!r:>99999999}",
)
CONTROLS = (
    *("\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "a\nb", "a\r\nxnn-train: error: a lie", "\0", "a\tb", "\x7f\b\b"),
    *("\x9b31m", "\u202etxet", "\u2028", "\x85", "\ufeff"),
)
TEXTS = (
    *("", " ", "x", "1", "None", "true", "nan", "é" * 50, "\U0001f600", "%n%s", "~", "~nobody", ".", "..", "/", "-"),
    *("../../outside/authorized_keys", "/dev/zero", "/dev/full", "C:\\CON", "--help", "$HOME", "[red]x[/red]", "[/]"),
    *("mnist", "cifar10", "digits", "torchvision:MNIST", "https://planted.example/x", "\ud800", "x" * 300, "x/" * 3000),
    *("a" * 200_000, "word " * 20_000, *MARKUP, *CONTROLS),
)
NUMBERS = (
    *(-1, 0, 1, 2, 3, 7, 255, 256, 1000, 10**6, 10**9),
    *(2**31, 2**32, 2**53 + 1, 2**63, 2**64, 2**70, -(2**63), -(2**70)),
    *(0.5, -0.5, 1.5, 1e-9, 1e17, 1e300, 1e308, -1e308, 5e-324, 1e-300),
    *map(Raw, ("NaN", "Infinity", "-Infinity", "1e999", "-0", "-0.0", "1" * 400, "1" * 5000, "1" * 200_000)),
    *map(Raw, ("0.1e1", "1E400", "00", "+1", "0x10", "1_000", ".5", "1.")),
)
NESTED = (
    *(Raw("[" * depth + "]" * depth) for depth in (30, 900, 100_000)),
    *(Raw('{"a":' * depth + "1" + "}" * depth) for depth in (900, 50_000)),
)
OTHERS = (
    *(None, True, False, [], {}, [None], [[]], [1, 2, 3], ["a", "b"], {"a": 1}, {"": None}, [{}], [True, "x", 1.5]),
    *([0] * 100_000, ["x"] * 3000, {str(number): number for number in range(20_000)}),
)
KINDS = (TEXTS, TEXTS, NUMBERS, NUMBERS, NESTED, OTHERS, OTHERS)

_MARK = "@raw-{}@"
_TWICE = "@twice@"
"""At the end of a key it makes it another one for Python, and is taken away in the text."""


def odd_value(random: Random) -> Any:
    """Return a value that few fields expect."""
    return random.choice(random.choice(KINDS))


def shown(value: Any) -> str:
    """Return a value in few letters."""
    text = str(value) if isinstance(value, Raw) else repr(value)
    return text if len(text) < 60 else f"{text[:50]}... ({len(text)} letters)"


def written(document: Any, **options: Any) -> bytes:
    """Return a document as JSON, with tokens as they are and keys twice where that is asked for."""
    raw: list[str] = []

    def plain(value: Any) -> Any:
        if isinstance(value, Raw):
            raw.append(value)
            return _MARK.format(len(raw) - 1)
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    text = json.dumps(plain(document), **options).replace(_TWICE, "")
    for number, token in enumerate(raw):
        text = text.replace(f'"{_MARK.format(number)}"', token)
    return text.encode("utf-8", "surrogatepass")


def paths(document: Any, above: Path = ()) -> Iterator[Path]:
    """Yield where each value is, the document itself first; what is very long counts as one."""
    yield above
    if not isinstance(document, dict | list) or len(document) > 1000:
        return
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield from paths(value, (*above, key))


def changed(document: Any, random: Random) -> tuple[Any, str]:
    """Return a document with one value changed, added or taken away, and what was done; the other is left alone."""
    document = copy.deepcopy(document)
    chosen = random.choice([path for path in paths(document) if path] or [()])
    if not chosen or random.random() < 0.01:
        value = odd_value(random)
        return value, f"is {shown(value)}"
    parent = document
    for key in chosen[:-1]:
        parent = parent[key]
    change = random.choices((_replaced, _removed, _added, _doubled, _swapped, _nudged), (60, 8, 8, 6, 8, 10))[0]
    return document, f"{'/'.join(map(str, chosen))} {change(parent, chosen[-1], random)}"


def _replaced(parent: Any, key: Any, random: Random) -> str:
    parent[key] = odd_value(random)
    return f"= {shown(parent[key])}"


def _removed(parent: Any, key: Any, random: Random) -> str:
    del parent[key]
    return "is missing"


def _added(parent: Any, key: Any, random: Random) -> str:
    value = odd_value(random)
    if isinstance(parent, list):
        times = random.choice((1, 2, 1000))
        if isinstance(value, str | list | dict) and len(value) > 100:
            times = 1
        parent[key:key] = [value] * times
        return f"has {times} times {shown(value)} before it"
    name = random.choice(TEXTS)
    parent[name] = value
    return f"has {shown(name)}: {shown(value)} beside it"


def _doubled(parent: Any, key: Any, random: Random) -> str:
    if isinstance(parent, list):
        parent.insert(key, parent[key])
    else:
        parent[f"{key}{_TWICE}"] = odd_value(random)
    return "is there twice"


def _swapped(parent: Any, key: Any, random: Random) -> str:
    other = random.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    parent[key], parent[other] = parent[other], parent[key]
    return f"and {other} are exchanged"


def _nudged(parent: Any, key: Any, random: Random) -> str:
    """Change a value within its type, or to the type nearest to it."""
    value = parent[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        parent[key] = random.choice(([value], {"value": value}, str(value), [value, value]))
    else:
        parent[key] = random.choice((value + 1, value - 1, -value, 10 * value, float(value), str(value), 0 * value))
    return f"= {shown(parent[key])}"


def document(content: bytes, random: Random) -> tuple[bytes, str]:
    """Mutate a file that holds one document."""
    if random.random() < 0.1:
        return torn(content, random)
    if random.random() < 0.05:
        return _odd_text(content, random)
    value, told = json.loads(content), []
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        if not isinstance(value, dict):
            break
        value, done = changed(value, random)
        told.append(done)
    return written(value, ensure_ascii=random.random() < 0.5), ", ".join(told)


def lines(content: bytes, random: Random) -> tuple[bytes, str]:
    """Mutate a file that holds a document a line."""
    rows = content.splitlines()
    kind = random.random()
    if kind < 0.1:
        return torn(content, random)
    number = random.randrange(len(rows))
    if kind < 0.15:
        rows[number], told = _odd_text(rows[number], random)
        return b"\n".join([*rows, b""]), f"line {number + 1} {told}"
    if kind < 0.2:
        return _odd_lines(rows, random)
    every = random.random() < 0.2
    seed = random.random()
    told = ""
    for place in range(len(rows)) if every else (number,):
        rows[place], told = document(rows[place], Random(seed))
    return b"\n".join([*rows, b""]), f"{'every line' if every else f'line {number + 1}'}: {told}"


def _odd_lines(rows: list[bytes], random: Random) -> tuple[bytes, str]:
    choices = (
        (rows * 2000, "2000 times the same lines"),
        (rows[::-1], "the lines in reverse"),
        ([b"{}"] * 100_000, "100,000 empty objects"),
        ([*rows, b"[1]"], "a list as last line"),
        ([b""] * 1000 + rows, "1000 empty lines before it"),
        ([row.replace(b", ", b",\r") for row in rows], "carriage returns"),
        ([b" " * 30_000_000 + rows[0], *rows[1:]], "30 MB of spaces in a line"),
        ([rows[0]] * 3, "three times the first line"),
        ([b"{}", *rows], "an empty object before it"),
    )
    found, told = random.choice(choices)
    return b"\n".join([*found, b""]), told


def _odd_text(content: bytes, random: Random) -> tuple[bytes, str]:
    choices = (
        (b"\xef\xbb\xbf" + content, "with a mark of the order of bytes"),
        (content.decode().encode("utf-16"), "in UTF-16"),
        (content.decode().encode("utf-32-le"), "in UTF-32"),
        (b"\0" + content, "after a zero byte"),
        (content + content, "twice"),
        (b" " * 20_000_000 + content, "after 20 MB of spaces"),
        (content + b"\n// a comment", "with a comment"),
        (content.replace(b'"', b"'"), "in single quotes"),
        (content.replace(b":", b": \x00", 1), "with a zero byte inside"),
        (b"\xff\xfe" + content, "that is no text"),
        (b'{"a":' * 100_000, "nested and never closed"),
    )
    return random.choice(choices)
