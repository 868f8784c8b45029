"""Mutations of pickles: odd values, odd opcodes, and few bytes that would become many."""

import pickle
import struct
from random import Random
from typing import Any

import numpy as np

from tests.hostile.json_values import TEXTS, shown
from tests.hostile.mutations import torn

NUMBERS = (-1, 0, 255, 256, 2**31, 2**63, 2**70, -(2**70), 1.0, 3.7, float("nan"), float("inf"), 10**300)


def batch(content: bytes, random: Random) -> tuple[bytes, str]:
    """Mutate a batch of CIFAR's python version."""
    kind = random.random()
    if kind < 0.2:
        return torn(content, random)
    if kind < 0.65:
        return _odd_values(content, random)
    return _odd_opcodes(content, random)


def _odd_values(content: bytes, random: Random) -> tuple[bytes, str]:
    value = pickle.loads(content)  # noqa: S301 - of the undisturbed file, made by this program
    key = random.choice(sorted(value))
    kind = random.randrange(6)
    if kind == 0:
        value[key] = odd = _odd_value(random)
        told = f"'{key}' = {shown(odd)}"
    elif kind == 1:
        del value[key]
        told = f"'{key}' is missing"
    elif kind == 2:
        odd = random.choice((1, 2**70, b"data", b"\xff", "\ud800x", None, 1.5, (1, 2), True, "x" * 9000, "\x1b[31m"))
        value[odd] = value.pop(key)
        told = f"'{key}' is under {shown(odd)}"
    elif kind == 3:
        name = random.choice([name for name in value if isinstance(value[name], list)])
        odd = random.choice((*NUMBERS, True, None, "1", b"1", [1], np.int64(1), np.uint8(3)))
        value[name][random.randrange(len(value[name]))] = odd
        told = f"'{name}' has {shown(odd)}"
    elif kind == 4:
        value["data"] = odd = _odd_array(value["data"], random)
        told = f"'data' is of {odd.dtype} {odd.shape}"
    else:
        value = random.choice((None, 2**70, [], [value], (value,), {"a": value}, {}, "x", np.arange(3), {1: value}))
        told = f"it is a {type(value).__name__}"
    protocol = random.randrange(6)
    try:
        return pickle.dumps(value, protocol), f"protocol {protocol}: {told}"
    except UnicodeEncodeError:
        return pickle.dumps(value, 0), f"protocol 0: {told}"


def _odd_value(random: Random) -> Any:
    nested: Any = []
    for _ in range(200):
        nested = [nested]
    texts = random.choice(TEXTS)
    return random.choice(
        (
            *(None, True, [], {}, (), b"", "", nested, texts, texts.encode("utf-8", "surrogatepass"), [texts] * 4),
            *(random.choice(NUMBERS), [random.choice(NUMBERS)] * 4, np.float64(1.5), np.zeros(3), bytearray(5), {1}),
            *(np.arange(4), np.arange(4).astype(">i8"), np.array([1, 2, 3, 4], object), ["1", "2", "3", "4"], 1j),
        )
    )


def _odd_array(data: np.ndarray, random: Random) -> np.ndarray:
    choices = (
        data.astype(random.choice((np.float64, np.int8, np.uint16, ">u2", np.bool, np.complex64, "S1", "U1"))),
        data.astype(object)[:, :10],
        data.T,
        np.asfortranarray(data),
        data[:, ::2],
        data.reshape([1] * 50 + list(data.shape)),
        data[:0],
        data[None],
        np.zeros((0, 2**40), np.uint8),
        np.array(5, np.uint8),
        np.zeros(3, [("a", "u1"), ("b", "f8")]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.array([data, None], object),
    )
    return random.choice(choices)


def _text(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _number(value: int) -> bytes:
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def _call(module: str, name: str, arguments: bytes) -> bytes:
    return f"c{module}\n{name}\n".encode() + arguments + b"R"


OPCODES = (
    *(bytes([letter]) for letter in b"(012N]})ldtaesuRboQ\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98."),
    *(b"q\0", b"h\0", b"r\xff\xff\xff\xff", b"j\xff\xff\xff\x7f", b"K\1", b"J\xff\xff\xff\xff", b"G" + bytes(8)),
    *(b"I1\n", b"I01\n", b"L1L\n", b"F1.5\n", b"S'x'\n", b"S'\\xff'\n", b"Vx\n", b"V\\ud800\n", b"p1\n", b"g1\n"),
    *(b"I" + b"9" * 5000 + b"\n", b"Px\n", b"\x80\6", b"\x80\0", b"\x82\1", b"\x84\1\0\0\0", b"U\1\xff"),
    *(b"T\1\0\0\0\xff", b"\x96" + bytes(8), b"\x8d" + b"\xff" * 8, b"\x95" + b"\xff" * 8),
    *(b"\x8b\xff\xff\xff\xff", b"X\xff\xff\xff\xff", b"B\xff\xff\xff\x7f"),
    *(b"cos\nsystem\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n", b"ib\na\n"),
)


def _odd_opcodes(content: bytes, random: Random) -> tuple[bytes, str]:
    if random.random() < 0.4:
        some = [random.choice(OPCODES) for _ in range(random.choice((1, 2, 5, 30)))]
        if random.random() < 0.5:
            body = b"".join(some) + b"."
            return body + content, f"opcodes {body[:60]!r} before it"
        place = random.choice((2, random.randrange(len(content)), len(content) - 1))
        return content[:place] + b"".join(some) + content[place:], f"opcodes {b''.join(some)[:60]!r} at {place}"
    odd, told = random.choice(_PROGRAMS)
    return b"\x80\2" + odd + b".", told


def _array(shape: bytes, code: str, data: bytes, state: bytes = b"\x89") -> bytes:
    empty = _call("numpy.core.multiarray", "_reconstruct", b"cnumpy\nndarray\n" + _number(0) + b"\x85" + b"U\1b\x87")
    dtype = _call("numpy", "dtype", _text(code) + _number(0) + _number(1) + b"\x87")
    return empty + b"(" + _number(1) + shape + dtype + state + data + b"tb"


def _data(array: bytes) -> bytes:
    return b"}" + _text("data") + array + b"s"


_FILL = b"T" + struct.pack("<I", 3072) + bytes(3072)

_PROGRAMS = (
    (_call("os", "system", _text("true") + b"\x85"), "a call of os.system"),
    (_call("builtins", "eval", _text("1") + b"\x85"), "a call of eval"),
    (_call("_codecs", "encode", _text("x") + _text("idna") + b"\x86"), "a call of encode with idna"),
    (_call("_codecs", "encode", _text("\u4e2d") + _text("latin1") + b"\x86"), "text that latin-1 has not"),
    (_call("_codecs", "encode", _text("x") + b"\x85"), "a call of encode with one argument"),
    (_call("numpy", "dtype", _text("u1") + b"\x85"), "a dtype with one argument"),
    (_call("numpy", "dtype", _number(1) * 3 + b"\x87"), "a dtype of a number"),
    (_call("numpy", "dtype", b"N" * 3 + b"\x87"), "a dtype of nothing"),
    (_data(_array(_number(1) + b"\x85", "\u4e2d", _FILL)), "a dtype that latin-1 has not"),
    (_data(_array(b"(" + _number(1) * 65 + b"t", "u1", b"U\1x")), "an array of 65 axes"),
    (_data(_array(_number(2**70) + b"\x85", "u1", b"U\1x")), "an array of 2^70 bytes"),
    (_data(_array(_number(0) + _number(2**70) + b"\x86", "u1", b"U\0")), "an array of 0 times 2^70 bytes"),
    (_data(_array(_number(2**32) * 2 + _number(0) + b"\x87", "u1", b"U\0")), "an array of 2^64 times 0 bytes"),
    (_data(_array(_number(-1) + b"\x85", "u1", b"U\1x")), "an array of -1 bytes"),
    (_data(_array(_number(1) + b"\x85", "u1", _text("\u4e2d"))), "an array of text that latin-1 has not"),
    (_data(_array(_number(1) + b"\x85", "u1", b"]")), "an array of a list"),
    (_data(_array(_number(1) + b"\x85", "O", b"]")), "an array of objects"),
    (_data(_array(b"N", "u1", b"U\1x")), "an array without a shape"),
    (_array(_number(1) + b"\x85", "u1", b"U\1x"), "an array alone"),
    (b"]q\0h\0a", "a list that holds itself"),
    (b"}q\0" + _text("data") + b"h\0s", "a dictionary that holds itself"),
    (b"}q\0" + _text("labels") + b"h\0s" + _text("data") + b"h\0s", "labels that are the batch"),
    (b"(" * 20_000, "20,000 marks"),
    (b"]" * 20_000 + b"a" * 19_999, "lists nested 20,000 deep"),
    (b"N" + b"\x85" * 20_000, "tuples nested 20,000 deep"),
    (b"}" + b"(" + _text("data") + b"]" * 9000 + b"a" * 8999 + b"u", "data nested 9,000 deep"),
    (b"}" + _text("labels") + b"N" + b"\x85" * 20_000 + b"s", "labels nested 20,000 deep"),
    (b"}" + _text("data") + b"N" + b"\x85" * 20_000 + b"\x85s", "data in tuples nested 20,000 deep"),
    (b"}" + b"(" + b"".join(_number(k * (2**61 - 1)) + b"N" for k in range(1500)) + b"u", "1,500 colliding keys"),
    (b"}" + b"N\x85" + b"q\0" + b"".join(b"0h\0h\0\x86q\0" for _ in range(3000)), "a tuple doubled 3,000 times"),
    (b"}" + _text("x" * 10_000) + b"q\0" + b"0h\0" * 1000, "a long text again and again"),
)


def bombs(random: Random) -> tuple[bytes, str]:
    """Return a pickle that would fill the memory or the time, a tenth of the largest that are known to have."""
    kind = random.randrange(8)
    long = b"X" + struct.pack("<I", 10**6) + b"x" * 10**6
    if kind == 0:
        odd = b"}(" + b"".join(_number(k * (2**61 - 1)) + b"N" for k in range(30_000)) + b"u"
        told = "30,000 colliding keys"
    elif kind == 1:
        call = b"c_codecs\nencode\nh\0" + _text("latin1") + b"\x86R"
        odd, told = long + b"q\0" + b"(" + call * 4000 + b"l", "a million letters encoded 4,000 times"
    elif kind == 2:
        odd, told = b"]" * 3_000_000 + b"a" * 2_999_999, "lists nested 3,000,000 deep"
    elif kind == 3:
        odd, told = b"N" + b"\x85" * 3_000_000, "tuples nested 3,000,000 deep"
    elif kind == 4:
        odd, told = b"(" * 4_000_000, "4,000,000 marks"
    elif kind == 5:
        odd, told = b"(" + b"}" * 3_500_000 + b"l", "3,500,000 empty dictionaries"
    elif kind == 6:
        array = _array(_number(3_000_000) + b"\x85", "u1", b"T" + struct.pack("<I", 3_000_000) + bytes(3_000_000))
        odd, told = b"}" + _text("data") + array + b"s", "an array of another shape"
    else:
        odd, told = b"N\x94" * 1_500_000, "1,500,000 entries of the memo"
    filler = b"T" + struct.pack("<I", 3_100_000) + bytes(3_100_000)
    room = filler if len(odd) < 3_072_000 else b""
    return b"\x80\4" + odd + (b"(" + room + b"l" if room else b"") + b".", told
