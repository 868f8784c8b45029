"""Runs that go on after a stop, and what keeps a run from going on."""

import dataclasses
import json

import pytest

from tests.runs.rows import quick, rows_of
from tests.training.small import StopAt, without_times
from xnn.errors import RunError
from xnn.runs import Settings
from xnn.runs.directory import RunDirectory
from xnn.runs.run import resume, train

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize("stop", [5, 20, 25, 65])
def test_an_interrupted_run_ends_as_an_undisturbed_one(whole, tmp_path, stop):
    """23 steps an epoch: inside the first, near its end, in the second, in the last."""
    settings = quick(tmp_path / "run", average=0.9, l2=1e-3, augment=("crop", "mixup", "cutmix"), epochs=3)
    first = train(settings, callbacks=[StopAt(stop)])
    assert first.values is None
    assert not (first.directory / "result.json").exists()
    # A kill may leave rows that no checkpoint knows, a torn line and a temporary file.
    with (first.directory / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 99}\n{"epo')
    with (first.directory / "intervals.jsonl").open("a") as file:
        file.write(f'{{"step": {stop + 5}}}\n{{"st')
    (first.directory / "checkpoints" / ".epoch-00001.safetensors.123.tmp").write_bytes(b"torn")
    said = []
    second = resume(first.directory, report=said.append)
    assert any("goes on after epoch" in line for line in said)
    for name in ("model.safetensors", "intervals.jsonl"):
        assert (second.directory / name).read_bytes() == (whole.directory / name).read_bytes()
    assert without_times(rows_of(second.directory / "metrics.jsonl")) == without_times(
        rows_of(whole.directory / "metrics.jsonl")
    )
    assert second.values["seconds"] > 0
    assert not list(second.directory.rglob("*.tmp"))


def test_a_run_stopped_before_its_first_checkpoint_begins_again(whole, tmp_path):
    job_settings = Settings.from_dict(json.loads((whole.directory / "config.json").read_text()))
    config = dataclasses.replace(job_settings, run_dir=str(tmp_path / "run")).to_dict()
    with RunDirectory.create(tmp_path / "run", config):
        pass
    said = []
    result = resume(tmp_path / "run", report=said.append)
    assert "stopped before its first checkpoint: begins again" in said
    assert (result.directory / "model.safetensors").read_bytes() == (whole.directory / "model.safetensors").read_bytes()


def test_a_complete_run_goes_on_only_with_more_epochs(tmp_path):
    first = train(quick(tmp_path / "run", epochs=1))
    assert resume(first.directory).was_complete
    assert resume(first.directory, epochs=1).was_complete
    second = resume(first.directory, epochs=2)
    assert second.history.column("epoch") == [1, 2]
    assert second.values["epochs"] == 2
    assert json.loads((first.directory / "config.json").read_text())["epochs"] == 2


def test_fewer_epochs_than_are_done_are_refused(tmp_path):
    first = train(quick(tmp_path / "run", epochs=3), callbacks=[StopAt(30)])
    with pytest.raises(RunError, match="--epochs 1: the run has already begun epoch 2"):
        resume(first.directory, epochs=1)


def test_a_damaged_checkpoint_is_named_and_an_older_one_taken(whole, tmp_path):
    first = train(
        quick(tmp_path / "run", average=0.9, l2=1e-3, augment=("crop", "mixup", "cutmix"), epochs=3),
        callbacks=[StopAt(30)],
    )
    newest = first.directory / "checkpoints" / "step-00000030.safetensors"
    newest.write_bytes(newest.read_bytes()[:-5])
    said = []
    second = resume(first.directory, report=said.append)
    assert any(str(newest) in line and line.startswith("passed over: ") for line in said)
    assert (second.directory / "model.safetensors").read_bytes() == (whole.directory / "model.safetensors").read_bytes()


def test_resuming_from_nothing_sound_is_refused(tmp_path):
    with pytest.raises(RunError, match="there is no such folder"):
        resume(tmp_path / "none")
    with pytest.raises(RunError, match=r"there is no run in it \(no config.json\)"):
        resume(tmp_path)
    first = train(quick(tmp_path / "run"), callbacks=[StopAt(30)])
    for path in (first.directory / "checkpoints").iterdir():
        path.write_bytes(b"torn")
    with pytest.raises(RunError, match=r"no sound checkpoint is left: .*epoch-00001.*damaged"):
        resume(first.directory)
    for path in (first.directory / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(RunError, match="its checkpoints are gone"):
        resume(first.directory)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"config.json is damaged"),
        (b'{"model": "cnn"', r"config.json is damaged"),
        (b"[1, 2]", r"config.json is damaged: Expected `object`, got `array`"),
        (b'{"epochs": 0}', r"config.json is damaged: --epochs 0: expected"),
        (b'{"epochs": null}', r"config.json is damaged: it has no number of epochs"),
        (b'{"epochs": 1, "from_": "x"}', r"config.json is damaged: it names no model"),
        (b'{"epoch": 3}', r"unknown setting 'epoch'"),
        (b"\xff\xfe", r"config.json is damaged"),
        (b"[" * 100_000, r"config.json is damaged"),
    ],
)
def test_a_damaged_config_is_refused(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(RunError, match=message):
        resume(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": 9}, "does not fit the run's settings: the state is of another model"),
        ({"batch_size": 8}, "batch size 8, not 64"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, change, message):
    first = train(quick(tmp_path / "run"), callbacks=[StopAt(30)])
    config = json.loads((first.directory / "config.json").read_text())
    (first.directory / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(RunError, match=message):
        resume(first.directory)


def test_another_backend_can_go_on(tmp_path):
    pytest.importorskip("torch")
    first = train(quick(tmp_path / "run", dtype="float64"), callbacks=[StopAt(30)])
    second = resume(first.directory, backend="torch:cpu")
    assert second.values["backend"] == "torch:cpu"
    whole = train(quick(tmp_path / "whole", dtype="float64"))
    assert second.values["final_train_loss"] == pytest.approx(whole.values["final_train_loss"], rel=1e-9)


def test_a_kill_does_not_lose_an_early_stop(tmp_path):
    """The checkpoint of the last epoch is written, the result is not."""
    whole = train(quick(tmp_path / "run", validation=0.2, early_stopping=1, epochs=60, lr=0.05))
    (whole.directory / "result.json").unlink()
    again = resume(whole.directory)
    assert again.history == whole.history
    assert again.values["epochs"] == whole.values["epochs"]
