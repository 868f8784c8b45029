"""A finished run to look at, and the page of it."""

import json

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.runs.rows import quick
from xnn.reporting.contents import contents_of
from xnn.reporting.saved import SavedRun
from xnn.runs.run import train


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The result of a run with averaged weights and smoothed labels, which its files must account for."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    return train(quick(path, hidden=32, lr=0.01, average=0.9, label_smoothing=0.1, epochs=3))


@pytest.fixture(scope="session")
def shown(finished):
    """The run with its model's answers."""
    return contents_of(SavedRun.open(finished.directory), on="numpy")


def redescribe(file, change):
    """Change the description that a model's file holds; `change` takes it and returns another."""
    with safe_open(file, "np") as opened:
        metadata = opened.metadata()
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
    description = change(json.loads(metadata["xnn"]))
    save_file(arrays, file, metadata | {"xnn": json.dumps(description)})
    return description
