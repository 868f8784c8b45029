"""How kernels are compiled: lazily, once for all processes, and without holding the interpreter's lock."""

from collections.abc import Callable
from typing import Any, cast

from numba import njit

from xnn._notes import note
from xnn.kernels.numpy.cache import SealedCache

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that is called from Python; the machine code is cached next to its source."""
    dispatcher = njit(**_OPTIONS)(function)
    try:
        # What `cache=True` does, with another cache.
        dispatcher._cache = SealedCache(function)
    except RuntimeError:
        note("found no writable folder for compiled kernels, so every process compiles them again; set NUMBA_CACHE_DIR")
    return cast(Callable[..., Any], dispatcher)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that is only called by compiled ones, and becomes part of them."""
    return cast(Callable[..., Any], njit(forceinline=True, **_OPTIONS)(function))
