"""Selecting a backend: by its name, by the environment, or the best that answers."""

import functools
import os
from collections.abc import Callable

from xnn.backends.cupy import cuda_answers, make_cupy
from xnn.backends.interface import Backend
from xnn.backends.libraries import make_numpy, make_strict, make_torch
from xnn.errors import BackendError, suggest

ENVIRONMENT_VARIABLE = "XNN_BACKEND"
TWINS_VARIABLE = "XNN_TWINS"
LIBRARIES = ("numpy", "cupy", "torch", "array_api_strict")

_MAKERS: dict[str, Callable[[str], Backend]] = {
    "numpy": make_numpy,
    "cupy": make_cupy,
    "torch": make_torch,
    "array_api_strict": make_strict,
}


def backend(name: "str | Backend | None" = None, twins: bool | None = None) -> Backend:
    """Return the backend of that name.

    Parameters
    ----------
    name : str, Backend or None
        ``"numpy"``, ``"cupy"``, ``"cupy:1"``, ``"torch"``, ``"torch:cuda:0"``, ``"array_api_strict"``,
        ``"array_api_strict:device1"``, or ``"auto"``: CuPy when a CUDA device answers, else NumPy.
        None reads ``$XNN_BACKEND`` and falls back to ``"auto"``. A `Backend` is returned as it is.
    twins : bool, optional
        False makes models compute with the reference functions alone. By default ``$XNN_TWINS``, 0 or 1, decides; 1 if
        it is not set.

    Raises
    ------
    BackendError
        If the name is unknown, the library is not installed, or the device does not answer. A named backend
        is never replaced by another.

    Examples
    --------
    >>> import xnn
    >>> xnn.backend("numpy")
    <xnn backend numpy>
    >>> xnn.backend("numpy", twins=False).twins
    False
    """
    if isinstance(name, Backend):
        name.activate()
        return name
    if name is None:
        name = os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
    if not isinstance(name, str):
        raise TypeError(f"backend must be a name or a Backend, not {type(name).__name__}")
    made = _make("cupy" if cuda_answers() else "numpy") if name == "auto" else _make(name)
    wanted = twins_by_default() if twins is None else twins
    if made.twins != wanted:
        made = made._with_twins(wanted)
    made.activate()
    return made


def twins_by_default() -> bool:
    """Return what ``$XNN_TWINS`` says, or True if it is not set."""
    value = os.environ.get(TWINS_VARIABLE) or "1"
    if value not in ("0", "1"):
        raise BackendError(f"${TWINS_VARIABLE} must be 0 or 1, not {value!r}")
    return value == "1"


@functools.cache
def _make(name: str) -> Backend:
    library, _, device = name.partition(":")
    if library not in LIBRARIES:
        raise BackendError(
            f"backend {name!r} is unknown; choose one of {', '.join(LIBRARIES)} or auto."
            + suggest(library, (*LIBRARIES, "auto"))
        )
    return _MAKERS[library](device)
