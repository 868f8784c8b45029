"""Neural networks with every derivative written by hand, once, against the Python Array API standard.

`backend` picks the array library and the device; `functional` holds the mathematics, `nn` the layers, `optim`
optimizers and schedules, `data` the data sets, `training` the loop, `distributed` several processes, `runs` what is on
disk, `sklearn` estimators for scikit-learn, `sweeps` searches, `exporting` files for other programs. Parts are loaded
when first used; ``import xnn`` loads NumPy and nothing heavier.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xnn._few_threads import spare_blas
from xnn._version import __version__

spare_blas()

from xnn.backends import Backend, backend  # noqa: E402 - imports NumPy, which by then must know how many threads

if TYPE_CHECKING:
    from xnn import (
        data,
        distributed,
        exporting,
        functional,
        nn,
        optim,
        recipes,
        reporting,
        runs,
        sweeps,
        testing,
        training,
    )
    from xnn.exporting import export_onnx
    from xnn.nn.saving import load
    from xnn.runs import Settings
    from xnn.runs.run import train
    from xnn.training import Trainer

__all__ = [
    "Backend",
    "Settings",
    "Trainer",
    "__version__",
    "backend",
    "data",
    "distributed",
    "export_onnx",
    "exporting",
    "functional",
    "load",
    "nn",
    "optim",
    "recipes",
    "reporting",
    "runs",
    "sweeps",
    "testing",
    "train",
    "training",
]

# Not in `__all__`: `typing` and `sklearn`, since after ``from xnn import *`` they would take the place of others.
_PARTS = {
    "data",
    "distributed",
    "exporting",
    "functional",
    "nn",
    "optim",
    "recipes",
    "reporting",
    "runs",
    "sklearn",
    "sweeps",
    "testing",
    "training",
    "typing",
}
_HOMES = {
    "Settings": "xnn.runs.settings",
    "Trainer": "xnn.training.trainer",
    "export_onnx": "xnn.exporting.files",
    "load": "xnn.nn.saving",
    "train": "xnn.runs.run",
}


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f"xnn.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'xnn' has no attribute {name!r}")
