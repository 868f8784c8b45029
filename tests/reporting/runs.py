"""A finished run to look at, and the page of it."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.runs.rows import quick
from xnn.data.png import png
from xnn.reporting.contents import contents_of
from xnn.reporting.saved import SavedRun
from xnn.runs.run import train
from xnn.training import Callback


class StopAfter(Callback):
    """Interrupts a run after a step, as a signal does."""

    def __init__(self, step):
        self.step = step

    def step_end(self, trainer):
        if trainer.step == self.step:
            trainer.request_stop("a test", to_resume=True)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The result of a run with averaged weights and smoothed labels, which its files must account for."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    return train(quick(path, hidden=32, lr=0.01, average=0.9, label_smoothing=0.1, epochs=3))


@pytest.fixture
def of_folder(tmp_path, monkeypatch):
    """A finished run on a folder in the working directory, a fifth of which was its test set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))
    for number in range(20):
        path = tmp_path / "folder" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(np.full((8, 8, 1), number, np.uint8)))
    return train(quick("run", dataset="folder", epochs=1, batch_size=4))


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
