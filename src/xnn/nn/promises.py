"""What a layer's forward and its pullbacks must be, and one line that says so where one is something else."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from xnn._typing import Array, Pullback


def kept(forward: Callable[..., Any]) -> Callable[..., tuple[Array, Pullback]]:
    """Return a layer's forward that makes sure of what it returns.

    Without that, y alone would be taken apart where the batch has two entries, and a pullback would fail where
    nobody knows any more whose it is.
    """

    @functools.wraps(forward)
    def keeping(self: Any, *arguments: Any, **options: Any) -> tuple[Array, Pullback]:
        result = forward(self, *arguments, **options)
        if type(result) is not tuple or len(result) != 2 or not callable(result[1]):
            raise TypeError(
                f"{type(self).__name__}.forward must return a tuple (y, pullback), not {_kind(result)}; "
                "the pullback takes (dy, input_gradient=True) and returns dx"
            )
        code = getattr(result[1], "__code__", None)
        # Cheap, since this is asked on every call: whether a plain function takes a second argument.
        if code is not None and code.co_argcount < 2 and not code.co_flags & inspect.CO_VARARGS:
            raise TypeError(
                f"the pullback that {type(self).__name__}.forward returns must take (dy, input_gradient=True): "
                "where input_gradient is False, it fills the gradients and may return None"
            )
        return result

    return keeping


def broken_needs(layer: str, parameters: int) -> TypeError:
    """Return the error for a function's pullback that takes or returns something else than `Layer.connect` asks for."""
    flags = ", ".join(["True"] * (1 + parameters))
    return TypeError(
        f"{layer}: the pullback given to connect with {parameters} parameter{'s' if parameters > 1 else ''} must take "
        f"(dy, needs=({flags})) and return a tuple of as many gradients, the input's first, None where none is needed"
    )


def is_of_the_call(error: TypeError) -> bool:
    """Whether a TypeError says that a Python function was called with other arguments than it takes.

    What goes wrong further in has more to its traceback than the caller's own line.
    """
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


def _kind(result: Any) -> str:
    if type(result) is tuple:
        return f"a tuple of {', '.join(type(item).__name__ for item in result)}"
    return f"{type(result).__name__} alone"
