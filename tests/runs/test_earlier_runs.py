"""A run directory that an earlier version wrote is read, asked and gone on with.

``run_of_0_1`` was written by version 0.1.0, before model.safetensors had checksums:
``xnn-train --model mlp --hidden 4 --epochs 1 --average 0.9 --log-every 10 --backend numpy``.
"""

import shutil
from pathlib import Path

import pytest

import xnn
from xnn.cli import predict, report, train
from xnn.data import load
from xnn.errors import RunError
from xnn.reporting.evaluation import evaluate
from xnn.reporting.saved import SavedRun, load_model
from xnn.runs.run import resume

pytestmark = pytest.mark.usefixtures("undrawn")

WRITTEN = Path(__file__).parent / "run_of_0_1"


@pytest.fixture
def run(tmp_path):
    return Path(shutil.copytree(WRITTEN, tmp_path / "run"))


def test_it_is_read_as_it_was_written(run):
    found = SavedRun.open(run)
    assert len(found.history) == 1
    assert len(found.intervals) == 2
    assert found.settings.hidden == 4
    # Its network is that of its time, whatever the recipe would choose now.
    assert found.settings.shrink == 1
    answers = evaluate(load_model(run), load("digits").test)
    assert answers.accuracy == pytest.approx(found.result["test_accuracy"], abs=0.005)


def test_its_model_says_nothing_of_its_layers(run):
    for path in (run, run / "model.safetensors"):
        with pytest.raises(RunError, match=r"model\.safetensors: it does not say what its layers are, .*load_model"):
            xnn.load(path, "numpy")


def test_the_commands_take_it(run, capsys):
    assert report.main([str(run)]) == 0
    assert (run / "report.html").stat().st_size > 10_000
    assert predict.main([str(run), "--dataset", "digits"]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_it_goes_on(run):
    said = []
    result = resume(run, epochs=2, warn=said.append)
    assert result.history.column("epoch") == [1, 2]
    assert result.history[1]["train_loss"] < result.history[0]["train_loss"]
    assert not [line for line in said if "passed over" in line]


def test_the_command_goes_on_with_it(run):
    assert train.main(["--resume", str(run), "--epochs", "2", "--quiet"]) == 0
