"""The command on CuPy: it trains, and a run that is stopped goes on with NumPy and comes back."""

import json
import subprocess
import sys

import pytest

from tests.conftest import backend_names
from tests.runs.rows import rows_of
from tests.training.small import StopAt
from xnn.runs import Settings
from xnn.runs.run import resume, train


@pytest.fixture(autouse=True)
def cupy_answers(pytestconfig):
    if not any(name.partition(":")[0] == "cupy" for name in backend_names(pytestconfig)):
        pytest.skip("the tests are not run on CuPy: --backends=cupy")


def command(name, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"xnn.cli.{name}", *map(str, arguments)], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_command_learns_the_digits(tmp_path, precision):
    folder = tmp_path / "run"
    command("train", "--backend", "cupy", "--precision", precision, "--epochs", 2, "--run-dir", folder)
    assert json.loads((folder / "config.json").read_text())["backend"] == "cupy:0"
    assert json.loads((folder / "result.json").read_text())["test_accuracy"] > 0.95
    assert json.loads((folder / "result.json").read_text())["backend"] == "cupy:0"


def test_a_run_goes_on_with_numpy_and_comes_back(tmp_path):
    straight = train(Settings(backend="cupy", epochs=3, run_dir=str(tmp_path / "straight"), quiet=True))
    settings = Settings(backend="cupy", epochs=3, run_dir=str(tmp_path / "run"), quiet=True)
    # In the middle of the first epoch, and of the second one.
    first = train(settings, callbacks=[StopAt(10)])
    second = resume(first.directory, backend="numpy", callbacks=[StopAt(70)])
    third = resume(second.directory, backend="cupy")
    found, expected = (rows_of(run.directory / "metrics.jsonl") for run in (third, straight))
    assert [row["epoch"] for row in found] == [1, 2, 3]
    for row, other in zip(found, expected, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=0.05)
