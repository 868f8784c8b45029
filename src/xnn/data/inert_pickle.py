"""Reading the plain data in a pickle without ever running it.

A pickle is a program: loading it imports what it names and calls it. The CIFAR "python version" archives are pickles,
so a tampered archive could run anything. Here the opcodes are only listed (by `pickletools.genops`, which executes
nothing) and interpreted symbolically: containers, numbers and strings are built as they are, NumPy's arrays become
inert records of their bytes, and any other name is refused. Nothing that the file names is imported, looked up or
called.

A hostile pickle may also try to use up time and memory. So the opcodes are counted; copying text may take no more bytes
than the file has; and the keys of dictionaries are text, whose hashes nobody can make collide. Nothing here is
recursive, so nesting may be arbitrarily deep.
"""

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xnn.data.limits import MOST_AXES
from xnn.data.quiet import no_warnings
from xnn.data.splits import HostArray
from xnn.errors import DataError

MOST_OPCODES = 1_000_000
"""CIFAR's largest file has a fifth of this number, or a third in protocol 0."""


@dataclass(frozen=True)
class _Global:
    """The name of something in a module: only a name."""

    name: str


@dataclass
class _DtypeRecord:
    """What a pickle says about an array's type: a code such as ``u1``."""

    code: str


@dataclass
class ArrayRecord:
    """What a pickle says about an array; `read` makes the array."""

    state: tuple[Any, ...] | None = None

    def read(self, where: str) -> HostArray:
        """Return the array of unsigned bytes that the record describes.

        Raises
        ------
        DataError
            If it is of another type, or its bytes do not fill its shape.
        """
        match self.state:
            case (int(), tuple(shape), _DtypeRecord("u1"), bool(fortran), bytes() | bytearray() | str() as data):
                content = _as_bytes(data, where)
                sizes = len(shape) <= MOST_AXES and all(type(size) is int and size >= 0 for size in shape)
                # NumPy also multiplies the other lengths of an empty array.
                if sizes and math.prod(shape) == len(content) and math.prod(size or 1 for size in shape) < 2**63:
                    flat = np.frombuffer(content, np.uint8)
                    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
        raise DataError(f"{where}: its array is not made of unsigned bytes that fill its shape")


def read_inert(content: bytes, where: str) -> Any:
    """Return the data in a pickle, with `ArrayRecord` for NumPy arrays and text for the keys of dictionaries.

    Parameters
    ----------
    content : bytes
        The pickle, of protocol 0 to 5.
    where : str
        The file's name, for errors.

    Raises
    ------
    DataError
        If the pickle names anything but NumPy's arrays, is truncated or damaged, or has more than `MOST_OPCODES`, a
        number of more than 64 bits, a key that is not text, or data in a buffer of its own.
    """
    stack = _Stack(where, len(content))
    try:
        # Python warns about unknown escapes in the text of protocol 0.
        with no_warnings():
            for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
                if count == MOST_OPCODES:
                    raise DataError(f"{where}: refused, its pickle has more than {MOST_OPCODES:,} opcodes")
                action = _ACTIONS.get(opcode.name)
                if action is None:
                    named = "" if argument is None else f" of '{_shown(argument).replace(' ', '.')}'"
                    raise DataError(f"{where}: refused, its pickle asks for {opcode.name}{named}; it was not run")
                action(stack, argument)
        return stack.pop()
    except DataError:
        raise
    # A damaged file raises ValueError or a subclass in the listing, and the others in the interpreter.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f"{where}: the pickle is truncated or damaged ({_shown(error)})") from None


def _shown(value: Any) -> str:
    """Return the beginning of a value's text, on one line."""
    return str(value)[:100].encode("unicode_escape").decode("ascii")


def _as_bytes(data: bytes | bytearray | str, where: str) -> bytes | bytearray:
    """Return the bytes of an array; Python 2 wrote them as text."""
    try:
        return data.encode("latin-1") if isinstance(data, str) else data
    except UnicodeEncodeError:
        raise DataError(f"{where}: its array is made of text that does not encode bytes") from None


class _Stack:
    """The stack, the marks and the memo of a pickle's interpreter, and how many bytes it may still copy."""

    def __init__(self, where: str, bytes_left: int) -> None:
        self.where = where
        self.bytes_left = bytes_left
        self.items: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def push(self, item: Any) -> None:
        self.items.append(item)

    def spend(self, count: int) -> None:
        """Note a copy of `count` bytes."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise ValueError("it copies more bytes than the file has")

    def pop(self, count: int = 1) -> Any:
        """Return the last item, or a tuple of the last `count`."""
        start = len(self.items) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("its stack runs empty")
        popped = tuple(self.items[start:])
        del self.items[start:]
        return popped[0] if count == 1 else popped

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        popped = self.items[start:]
        del self.items[start:]
        return popped

    def top(self, kind: type) -> Any:
        if not self.items or not isinstance(self.items[-1], kind):
            raise ValueError(f"it needs a {kind.__name__} that is not there")
        return self.items[-1]

    def push_global(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in _CALLS and full not in _NAMES:
            raise DataError(f"{self.where}: refused, its pickle names '{_shown(full)}'; it was not imported or run")
        self.push(_Global(full))

    def reduce(self) -> None:
        function, arguments = self.pop(2)
        call = _CALLS.get(function.name) if isinstance(function, _Global) else None
        if call is None or not isinstance(arguments, tuple):
            raise DataError(f"{self.where}: refused, its pickle calls something unknown; it was not run")
        self.push(call(self, *arguments))

    def build(self) -> None:
        state = self.pop()
        if self.items and isinstance(self.items[-1], _DtypeRecord):
            return
        record = self.top(ArrayRecord)
        if not isinstance(state, tuple):
            raise ValueError("an array without its state")
        record.state = state

    def set_items(self, pairs: list[Any]) -> None:
        keys = [self._key(key) for key in pairs[::2]]
        self.top(dict).update(zip(keys, pairs[1::2], strict=True))

    def _key(self, key: Any) -> str:
        if isinstance(key, bytes):  # the text of Python 2
            self.spend(len(key))
            return key.decode("latin-1")
        if isinstance(key, str):
            return key
        raise ValueError("a key that is not text")


def _reconstruct(stack: _Stack, kind: Any, shape: Any, code: Any) -> ArrayRecord:
    if kind != _Global("numpy.ndarray"):
        raise ValueError("an array of an unknown kind")
    return ArrayRecord()


def _from_buffer(stack: _Stack, data: Any, dtype: Any, shape: Any, order: Any) -> ArrayRecord:
    if not (isinstance(data, bytes | bytearray) and isinstance(order, str)):
        raise ValueError("an array without its bytes")
    return ArrayRecord((1, shape, dtype, order == "F", data))


def _dtype(stack: _Stack, code: Any, align: Any, copy: Any) -> _DtypeRecord:
    if isinstance(code, bytes):
        code = code[:8].decode("latin-1")
    if not isinstance(code, str):
        raise ValueError("a type that is not named by text")
    return _DtypeRecord(code[:8].lstrip("|"))


def _encode(stack: _Stack, text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("bytes that are not encoded in latin1")
    stack.spend(len(text))
    return text.encode("latin-1")


_NAMES = {"numpy.ndarray"}
_CALLS: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "numpy.dtype": _dtype,
    # How the protocols that Python 2 can read write bytes, and empty bytes.
    "_codecs.encode": _encode,
    "__builtin__.bytes": lambda stack: b"",
}


def _push_number(stack: _Stack, number: int) -> None:
    if not -(2**63) <= number < 2**64:
        raise ValueError("a number of more than 64 bits")
    stack.push(number)


def _store(stack: _Stack, key: int | None) -> None:
    key = len(stack.memo) if key is None else key
    # Picklers count from 0. Larger numbers could be chosen to collide.
    if not 0 <= key < MOST_OPCODES:
        raise ValueError("an impossible memo number")
    stack.memo[key] = stack.top(object)


def _ignore(stack: _Stack, argument: Any) -> None:
    """Do nothing: the opcode frames the file, states its protocol, or ends it (without the last, listing fails)."""


def _dict(stack: _Stack, argument: None) -> None:
    pairs = stack.pop_mark()
    stack.push({})
    stack.set_items(pairs)


def _global(stack: _Stack, argument: str) -> None:
    module, _, name = argument.partition(" ")
    stack.push_global(module, name)


def _stack_global(stack: _Stack, argument: None) -> None:
    module, name = stack.pop(2)
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ValueError("a name that is not text")
    stack.push_global(module, name)


_ACTIONS: dict[str, Callable[[_Stack, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _ignore),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _push_number),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _Stack.push),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _Stack.push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), _Stack.push),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _store),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda stack, key: stack.push(stack.memo[key])),
    "NONE": lambda stack, _: stack.push(None),
    "NEWTRUE": lambda stack, _: stack.push(True),
    "NEWFALSE": lambda stack, _: stack.push(False),
    "MARK": lambda stack, _: stack.marks.append(len(stack.items)),
    "EMPTY_LIST": lambda stack, _: stack.push([]),
    "EMPTY_DICT": lambda stack, _: stack.push({}),
    "EMPTY_TUPLE": lambda stack, _: stack.push(()),
    "LIST": lambda stack, _: stack.push(stack.pop_mark()),
    "DICT": _dict,
    "TUPLE": lambda stack, _: stack.push(tuple(stack.pop_mark())),
    "TUPLE1": lambda stack, _: stack.push((stack.pop(),)),
    "TUPLE2": lambda stack, _: stack.push(stack.pop(2)),
    "TUPLE3": lambda stack, _: stack.push(stack.pop(3)),
    "APPEND": lambda stack, _: (lambda item: stack.top(list).append(item))(stack.pop()),
    "APPENDS": lambda stack, _: (lambda items: stack.top(list).extend(items))(stack.pop_mark()),
    "SETITEM": lambda stack, _: stack.set_items(list(stack.pop(2))),
    "SETITEMS": lambda stack, _: stack.set_items(stack.pop_mark()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda stack, _: stack.reduce(),
    "BUILD": lambda stack, _: stack.build(),
}
