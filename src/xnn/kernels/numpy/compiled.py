"""How kernels are compiled: lazily, once for all processes, and without holding the interpreter's lock."""

from collections.abc import Callable
from typing import Any, cast

from numba import njit

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that is called from Python; the machine code is cached next to its source."""
    return cast(Callable[..., Any], njit(cache=True, **_OPTIONS)(function))


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that is only called by compiled ones, and becomes part of them."""
    return cast(Callable[..., Any], njit(forceinline=True, **_OPTIONS)(function))
