"""Importing an array library, or saying what to do where that fails."""

import importlib
import importlib.util
from typing import Any

from xnn.errors import BackendError, to_install

_INSTALL = {
    "cupy": f"CuPy, which is not installed: {to_install('cuda12')}, or [cuda13] for a CUDA 13 driver",
    "torch": f"PyTorch, which is not installed: {to_install('torch')}",
    "array_api_strict": f"array-api-strict, which is not installed: {to_install('strict')}",
}


def import_library(library: str) -> Any:
    """Import an array library, or raise a `BackendError` that says what to do."""
    if importlib.util.find_spec(library) is None:
        raise BackendError(f"backend '{library}' needs {_INSTALL[library]}")
    try:
        module = importlib.import_module(library)
    except (ImportError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise BackendError(f"backend '{library}': it is installed but cannot be imported ({reason})") from None
    if not hasattr(module, "__version__"):
        # A folder of that name on the path imports as an empty package.
        raise BackendError(f"backend '{library}' needs {_INSTALL[library]}")
    return module
