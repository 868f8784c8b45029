"""Neural networks with every derivative written by hand, once, against the Python Array API standard.

`backend` picks the array library and the device; `functional` holds the mathematics, `nn` the layers, `optim`
optimizers and schedules, `data` the data sets, `training` the loop. Parts are loaded when first used; ``import xnn``
loads NumPy and nothing heavier.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xnn._version import __version__
from xnn.backends import Backend, backend

if TYPE_CHECKING:
    from xnn import data, functional, nn, optim, testing, training
    from xnn.training import Trainer

__all__ = [
    "Backend",
    "Trainer",
    "__version__",
    "backend",
    "data",
    "functional",
    "nn",
    "optim",
    "testing",
    "training",
]

_SUBPACKAGES = {"data", "functional", "nn", "optim", "testing", "training"}


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"xnn.{name}")
    if name == "Trainer":
        return importlib.import_module("xnn.training").Trainer
    raise AttributeError(f"module 'xnn' has no attribute {name!r}")
