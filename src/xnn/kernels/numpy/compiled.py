"""How kernels are compiled: lazily, once for all processes, and without holding the interpreter's lock."""

from collections.abc import Callable
from typing import Any, cast

from numba import njit
from numba.core import event

from xnn._notes import note
from xnn.kernels.compiling import compilations
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
    """Compile a function that only compiled functions call, and that becomes part of them."""
    return cast(Callable[..., Any], njit(forceinline=True, **_OPTIONS)(function))


class _Listener(event.Listener):
    """Passes on which of our kernels Numba compiles, which it announces, holding a lock, for those not in the cache."""

    def on_start(self, event: Any) -> None:
        """Name the kernel after its module, as in ``winograd inputs``."""
        if module := _ours(event):
            compilations.begin(module.rpartition(".")[2].replace("_", " "))

    def on_end(self, event: Any) -> None:
        """Say that it is done."""
        if _ours(event):
            compilations.end()


def _ours(event: Any) -> str:
    """Return the module of the function that is compiled; "" for other people's, which may even lack one."""
    module = event.data["dispatcher"].py_func.__module__ or ""
    return module if module.startswith("xnn.kernels.") else ""


event.register("numba:compile", _Listener())  # type: ignore[no-untyped-call]  # Numba's own
