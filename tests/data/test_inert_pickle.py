import os
import pickle
import pickletools
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.trouble import memory_below
from xnn.data import inert_pickle
from xnn.data.inert_pickle import ArrayRecord, read_inert
from xnn.errors import DataError

PROTOCOLS = range(6)
NUMBERS = st.integers(-(2**63), 2**64 - 1)
scalars = st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.binary(max_size=8)
keys = st.text(max_size=5)
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4) | st.tuples(inner, inner) | st.just(())
    ),
    max_leaves=12,
)


@given(value=plain, protocol=st.sampled_from(PROTOCOLS))
def test_plain_data_is_read(value, protocol):
    assert read_inert(pickle.dumps(value, protocol), "file") == value


@given(
    array=npst.arrays(np.uint8, npst.array_shapes(min_dims=0, max_dims=3, min_side=0)),
    protocol=st.sampled_from(PROTOCOLS),
    order=st.sampled_from("CF"),
    step=st.sampled_from([1, 2]),
    writeable=st.booleans(),
)
def test_arrays_are_read(array, protocol, order, step, writeable):
    array = np.asarray(array, order=order)
    array = array[..., ::step] if array.ndim else array
    array.flags.writeable = writeable
    record = read_inert(pickle.dumps(array, protocol), "file")
    assert isinstance(record, ArrayRecord)
    np.testing.assert_array_equal(record.read("file"), array)


@pytest.mark.parametrize("package", [b"numpy._core.numeric", b"numpy.core.numeric"])
def test_protocol_5_of_numpy_1_and_2_is_read(package):
    content = pickle.dumps(np.arange(6, dtype=np.uint8), 5, buffer_callback=None)
    assert b"\x13numpy._core.numeric" in content[:60]
    # The frame's length is of no account.
    content = content.replace(b"\x8c\x13numpy._core.numeric", b"\x8c" + bytes([len(package)]) + package)
    assert read_inert(content, "file").read("file").tolist() == [0, 1, 2, 3, 4, 5]


def test_keys_of_bytes_become_text():
    assert read_inert(pickle.dumps({b"a\xff": 1, "b": 2}, 4), "file") == {"a\xff": 1, "b": 2}


def test_a_file_of_python_2_is_read():
    """Names of NumPy 1, text of Python 2: what the official archives hold."""
    head = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x06K\x09eU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05"
    array = b"cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x02K\x03\x86"
    dtype = b"cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = b"\x89T" + struct.pack("<I", 6) + b"\x00\xff\x80abctbu."
    found = read_inert(head + array + dtype + data, "file")
    assert found["labels"] == [6, 9]
    assert found["data"].read("file").tolist() == [[0, 255, 128], [97, 98, 99]]


class Hostile:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile_pickles(marker):
    command = f"touch {marker}"
    text = command.encode()
    short = b"U" + bytes([len(text)]) + text
    module = b"\x8c\x02os\x8c\x06system"
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\n"
    system = os.system.__module__ + ".system"
    for protocol in PROTOCOLS:
        yield system, pickle.dumps(Hostile(os.system, command), protocol)
        yield "builtins.eval", pickle.dumps(Hostile(eval, f"__import__('os').system('{command}')"), max(protocol, 3))
        yield system, pickle.dumps({"data": [1, (2, {"x": Hostile(os.system, command)})]}, protocol)
    yield "os.system", b"cos\nsystem\n(S'" + text + b"'\ntR."
    yield "os.system", b"(S'" + text + b"'\nios\nsystem\n."
    yield "os.system", b"(cos\nsystem\n" + short + b"o."
    yield "os.system", b"\x80\x04" + module + b"\x93" + short + b"\x85R."
    yield "os.system", b"\x80\x04" + module + b"\x93" + short + b"\x85\x81."
    yield "os.system", b"\x80\x02}q\x00" + b"cos\nsystem\nq\x01" + short + b"\x85R."
    yield "builtins.getattr", b"cbuiltins\ngetattr\ncos\nsystem\n\x86R."
    # A name that is allowed, called with what is not: an attribute chain, a subclass, a callable.
    yield "numpy.ndarray.tofile", b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    yield "numpy.core.multiarray.load", b"cnumpy.core.multiarray\nload\n" + short + b"\x85R."
    yield "os.system", reconstruct + b"cos\nsystem\nK\x00\x85U\x01b\x87R."
    yield "", reconstruct + reconstruct + b"K\x00\x85U\x01b\x87R."
    yield "", b"U\x09os.system" + short + b"\x85R."
    yield "", b"cnumpy\nndarray\n" + short + b"\x85R."
    yield "", b"c_codecs\nencode\n" + short + b"U\x08idna\x20\x20\x20\x20\x86R."
    yield "", b"cnumpy\ndtype\n" + short + b"\x85b."
    yield "PERSID", b"P" + text + b"\n."
    yield "BINPERSID", short + b"Q."
    yield "EXT1", b"\x82\x01."
    # Buffers that are elsewhere, as protocol 5 allows.
    yield "NEXT_BUFFER", b"\x80\x05\x97."
    yield "READONLY_BUFFER", b"\x80\x05\x96\0\0\0\0\0\0\0\0\x98."
    buffers = []
    yield "NEXT_BUFFER", pickle.dumps(np.arange(6, dtype=np.uint8), 5, buffer_callback=buffers.append)
    # A name of two lines stays one.
    yield "os\\nsystem.x", b"\x80\x04\x8c\x09os\nsystem\x8c\x01x\x93."


def test_a_hostile_pickle_never_runs_and_is_named(tmp_path):
    marker = tmp_path / "ran"
    for name, content in hostile_pickles(marker):
        with pytest.raises(DataError, match=r"^file: ") as caught:
            read_inert(content, "file")
        assert name in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        assert not marker.exists()
    pickle.loads(b"cos\nsystem\n(S'" + f"touch {marker}".encode() + b"'\ntR.")  # noqa: S301 - the test can fail
    assert marker.exists()


@pytest.mark.parametrize(
    "array",
    [np.zeros(3, np.int32), np.zeros(2, object), np.zeros(2, "S2"), np.zeros(2, "u1,u1"), np.zeros(2, bool)],
    ids=lambda array: str(array.dtype),
)
def test_arrays_of_another_type_are_refused(array):
    with pytest.raises(DataError, match=r"^file: "):
        read_inert(pickle.dumps(array, 2), "file").read("file")


def test_an_array_of_text_that_is_no_bytes_is_refused():
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
    text = "☃" * 6
    data = b"X" + struct.pack("<I", len(text.encode())) + text.encode()
    content = head + b"(K\x01K\x06\x85" + dtype + b"\x89" + data + b"tb."
    with pytest.raises(DataError, match=r"^file: its array is made of text that does not encode bytes"):
        read_inert(content, "file").read("file")
    good = content.replace(data, b"U\x06abcdef")
    assert read_inert(good, "file").read("file").tobytes() == b"abcdef"


def test_an_array_of_more_axes_than_numpy_has_is_refused():
    content = pickle.dumps(np.zeros((1, 1), np.uint8), 2)
    assert content.count(b"K\x01K\x01\x86") == 1
    most, more = (
        read_inert(content.replace(b"K\x01K\x01\x86", b"(" + b"K\x01" * axes + b"t"), "file") for axes in (64, 65)
    )
    assert most.read("file").ndim == 64
    with pytest.raises(DataError, match=r"unsigned bytes that fill its shape"):
        more.read("file")


def test_an_array_of_nothing_times_a_lot_is_refused():
    content = pickle.dumps(np.zeros((0, 1), np.uint8), 2)
    assert content.count(b"K\x00K\x01\x86") == 1
    record = read_inert(content.replace(b"K\x00K\x01\x86", 2 * b"\x8a\x05\0\0\0\0\x01" + b"K\x00\x87"), "file")
    with pytest.raises(DataError, match=r"unsigned bytes that fill its shape"):
        record.read("file")


@pytest.mark.parametrize(
    "shape", [b"K\x02K\x04\x86", b"J\xff\xff\xff\xffJ\xfa\xff\xff\xff\x86", b"K\x06\x88\x86", b")"]
)
def test_an_array_that_its_bytes_do_not_fill_is_refused(shape):
    """2 by 4, -1 by -6, 6 by True, and no axes at all, of 6 bytes."""
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    content = pickle.dumps(array, 2)
    assert content.count(b"K\x02K\x03\x86") == 1
    assert read_inert(content, "file").read("file").tolist() == array.tolist()
    with pytest.raises(DataError, match=r"^file: its array is not made of unsigned bytes that fill its shape"):
        read_inert(content.replace(b"K\x02K\x03\x86", shape), "file").read("file")


# Each with why it is refused, and at which of its opcodes: the first that would cost much.
BOMBS = {
    "one of a number": (pickle.dumps(2**70, 2), "a number of more than 64 bits", 2),
    "a number of many digits": (b"L" + b"9" * 100_000 + b"L\n.", "damaged", 0),
    "a number of many bytes": (b"\x8b" + struct.pack("<i", 100_000) + b"\x7f" * 100_000 + b".", "64 bits", 1),
    "keys of one hash": (
        b"}(" + b"".join(b"\x8a\x08" + (k << 48).to_bytes(8, "little") + b"N" for k in range(30_000)) + b"u.",
        "a key that is not text",
        60_003,
    ),
    "memos of one hash": (
        b"N" + b"".join(b"p%d\n" % (k * (2**61 - 1)) for k in range(1, 30_000)) + b".",
        "an impossible memo number",
        2,
    ),
    "text that is encoded again and again": (
        b"c_codecs\nencode\nq\0X\x06\0\0\0latin1q\x01X" + struct.pack("<I", 400_000) + b"x" * 400_000 + b"q\x02("
        + b"h\0h\x02h\x01\x86R" * 200 + b"l.",
        "it copies more bytes than the file has",
        17,
    ),
    "bytes that are a key again and again": (
        b"B" + struct.pack("<I", 400_000) + b"x" * 400_000 + b"q\x02}(" + b"h\x02N" * 200 + b"u.",
        "it copies more bytes than the file has",
        405,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_time_and_memory(monkeypatch, name):
    content, message, opcodes = BOMBS[name]
    listed, list_opcodes = [], pickletools.genops

    def counted(pickle):
        for opcode in list_opcodes(pickle):
            listed.append(opcode[0].name)
            yield opcode

    monkeypatch.setattr(pickletools, "genops", counted)
    # A list or an entry of the memo is larger than the opcode that makes it.
    with memory_below(8 * len(content) + 2**20), pytest.raises(DataError, match=f"^file: .*{message}") as caught:
        read_inert(content, "file")
    assert len(str(caught.value)) < 300
    assert len(listed) == opcodes


def test_opcodes_are_counted(monkeypatch):
    monkeypatch.setattr(inert_pickle, "MOST_OPCODES", 1000)
    assert read_inert(b"N" * 999 + b".", "file") is None
    with pytest.raises(DataError, match=r"^file: refused, its pickle has more than 1,000 opcodes$"):
        read_inert(b"N" * 1000 + b".", "file")


def test_nesting_may_be_deep():
    """Neither reading nor letting go of it calls itself."""
    depth = 200_000
    found = read_inert(b"]" * depth + b"a" * (depth - 1) + b".", "file")
    for _ in range(depth - 1):
        (found,) = found
    assert found == []


def test_memory_is_a_small_multiple_of_the_largest_batch():
    content = pickle.dumps({"data": np.zeros((1000, 3072), np.uint8), "labels": list(range(1000))}, 2)
    with memory_below(3 * len(content)):
        read_inert(content, "file")["data"].read("file")


def test_escapes_that_python_does_not_know_are_not_warned_of():
    assert read_inert(b"S'\\q'\n.", "file") == "\\q"


@given(value=plain, protocol=st.sampled_from(PROTOCOLS), data=st.data())
def test_a_cut_pickle_is_refused(value, protocol, data):
    content = pickle.dumps(value, protocol)
    stop = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError, match=r"^file: "):
        read_inert(content[:stop], "file")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00S'b'\ntRK\x05b.", "an array without its state"),
        (b"\x80\x04K\x01K\x02\x93.", "a name that is not text"),
        (pickle.dumps({(1,): 2}), "a key that is not text"),
        (pickle.dumps([1])[:-1], "pickle exhausted before seeing STOP"),
    ],
)
def test_a_damaged_pickle_is_told_what_is_wrong_with(content, complaint):
    with pytest.raises(DataError, match=f"^file: the pickle is truncated or damaged .{complaint}"):
        read_inert(content, "file")


def check_only_data_errors(content):
    try:
        found = read_inert(content, "file")
        if isinstance(found, ArrayRecord):
            found.read("file")
    except DataError:
        pass


OPCODES = b"().012BCFGIJKLMNPQRSTUVX]abcdeghijlopqrstu}\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\n"


@given(content=st.binary(max_size=60) | st.lists(st.sampled_from(OPCODES), max_size=60).map(bytes))
def test_any_bytes_raise_nothing_but_data_errors(content):
    check_only_data_errors(content)
    check_only_data_errors(b"\x80\x02" + content + b".")


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), protocol=st.sampled_from(PROTOCOLS))
def test_a_changed_byte_raises_nothing_but_data_errors(place, byte, protocol):
    content = bytearray(pickle.dumps(np.arange(6, dtype=np.uint8).reshape(2, 3), protocol))
    content[int(place * len(content))] = byte
    check_only_data_errors(bytes(content))
