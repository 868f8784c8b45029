"""Short runs, and what a run wrote."""

import json
from pathlib import Path

from xnn.runs import Settings

RESULT = {
    *("dataset", "recipe", "backend", "epochs", "lr", "final_train_loss", "test_loss", "test_accuracy"),
    *("test_views", "seconds", "peak_memory_mib", "parameters", "seed", "versions"),
    *("training_images", "finished", "machine"),
}
"""The keys of result.json."""


def rows_of(path: Path) -> list[dict]:
    """Return the rows of a file that must be whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def quick(path, **changes):
    """Settings for a run of a quarter of a second: 23 steps an epoch."""
    chosen = {"model": "mlp", "hidden": 8, "epochs": 2, "batch_size": 64, "backend": "numpy", "log_every": 5}
    return Settings(**(chosen | {"run_dir": str(path)} | changes))
