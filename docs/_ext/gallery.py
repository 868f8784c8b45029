"""How the examples of the gallery are run, and in which order they are shown."""

import warnings
from pathlib import Path
from typing import Any

ORDER = (
    "own_photographs",
    "training_loop",
    "custom_layer",
    "fine_tuning",
    "comparing_optimizers",
    "sklearn_pipeline",
    "onnx_export",
    "sweep",
    "many_machines",
)
"""The examples from easy to special. Those that are not named follow, by name."""


class Order:
    """A key to sort the examples of a folder by."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, file: str) -> tuple[int, str]:
        """Return the place of a file."""
        name = Path(file).stem
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def warnings_are_errors(settings: dict[str, Any], file: str) -> None:
    """Make an example fail that warns, or makes xnn warn; other libraries may."""
    warnings.filterwarnings("error", module=r"(__main__|xnn)(\.|$)")
