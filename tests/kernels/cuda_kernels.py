"""A program that lists the CUDA kernels of the twins for CuPy, as JSON: for each source the names of all instances.

It needs no CuPy, since only the declarations at the top of the modules are read: a stand-in takes its place.
"""

import importlib
import json
import sys
from unittest import mock

from xnn.kernels.table import TABLE


class StandIn(mock.MagicMock):
    """A package, whatever is imported from it."""

    __path__: tuple[str, ...] = ()


def main():
    for name in ("cupy", "cupy.cuda", "cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs"):
        sys.modules[name] = StandIn()
    for row in TABLE["cupy"]:
        importlib.import_module(f"xnn.kernels.cupy.{row.module}")
    from xnn.kernels.cupy.launching import OPTIONS, Kernel

    listed = {}
    for kernel in Kernel.every:
        listed.setdefault(kernel.file, []).extend(kernel.expressions())
    print(json.dumps({"options": OPTIONS, "kernels": listed}))


if __name__ == "__main__":
    main()
