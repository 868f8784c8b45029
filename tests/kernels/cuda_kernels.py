"""A program that lists the CUDA kernels of the twins for CuPy, as JSON: for each source the names of all instances.

It needs no CuPy, since only the declarations at the top of the modules are read: a stand-in takes its place.
"""

import importlib.util
import json
import sys
from unittest import mock

from xnn.kernels.table import TABLE


class StandIn(mock.MagicMock):
    """A package, whatever is imported from it."""

    __path__: tuple[str, ...] = ()


class StandIns:
    """Finds a stand-in for CuPy and whatever is in it."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cupy", "cupy_backends"):
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return StandIn()

    def exec_module(self, module):
        pass


def main():
    sys.meta_path.insert(0, StandIns())
    for row in TABLE["cupy"]:
        importlib.import_module(f"xnn.kernels.cupy.{row.module}")
    from xnn.kernels.cupy.launching import OPTIONS, Kernel

    listed = {}
    for kernel in Kernel.every:
        listed.setdefault(kernel.file, []).extend(kernel.expressions())
    print(json.dumps({"options": OPTIONS, "kernels": listed}))


if __name__ == "__main__":
    main()
