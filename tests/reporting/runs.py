"""A finished run to look at, and the page of it."""

import pytest

from xnn.runs import Settings
from xnn.runs.run import train


def quick(path, **changes):
    """Settings for a run of a quarter of a second."""
    chosen = {"model": "mlp", "hidden": 8, "epochs": 2, "batch_size": 64, "backend": "numpy", "log_every": 5}
    return Settings(**(chosen | {"run_dir": str(path)} | changes))


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The result of a run with averaged weights and smoothed labels, which its files must account for."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    return train(quick(path, hidden=32, lr=0.01, average=0.9, label_smoothing=0.1, epochs=3))
