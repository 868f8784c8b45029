"""Is imported by each Python whose path has this folder: has the guard watch it, and shrinks CIFAR if it is told to."""

import importlib.machinery
import os
import sys

from tests.hostile import guard

SOURCES = "xnn.data.sources"


class Shrinking(importlib.machinery.PathFinder):
    """Finds the module that knows the data sets, and has it changed as soon as it is imported."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != SOURCES:
            return None
        spec = super().find_spec(name, path, target)
        execute = spec.loader.exec_module

        def execute_and_shrink(module):
            execute(module)
            from tests.hostile.world import shrink_cifar

            shrink_cifar(larger=os.environ[guard.SMALL] == "larger")

        spec.loader.exec_module = execute_and_shrink
        return spec


# Numba's own cache is made of pickles.
guard.install(os.environ[guard.VARIABLE], guard.FETCHES + guard.STARTS, pycache=True)
if os.environ.get(guard.SMALL):
    sys.meta_path.insert(0, Shrinking)
