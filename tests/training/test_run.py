"""Whole runs on the embedded digits: what they write, and how they go on."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from xnn import models
from xnn.errors import NonFiniteLoss, RunError, SettingError
from xnn.training import Callback, Settings
from xnn.training.assembly import prepare
from xnn.training.files import read_json_lines
from xnn.training.run import resume, train
from xnn.training.run_directory import METRICS, RunDirectory, unused_path

RESULT = {
    *("dataset", "recipe", "backend", "epochs", "lr", "final_train_loss", "test_loss", "test_accuracy"),
    *("seconds", "parameters", "seed", "versions"),
}
TIMES = ("seconds", "images_per_second")


def quick(path, **changes):
    """Settings for a run of a quarter of a second: 23 steps an epoch."""
    chosen = {"model": "mlp", "hidden": 8, "epochs": 2, "batch_size": 64, "backend": "numpy", "log_every": 5}
    return Settings(**(chosen | {"run_dir": str(path)} | changes))


class StopAt(Callback):
    """Interrupts a run after a step, as a signal does."""

    def __init__(self, step):
        self.step = step

    def interval(self, trainer, row):
        if row["step"] == self.step:
            trainer.request_stop("a test", to_resume=True)


def rows_without_times(path):
    return [{name: row[name] for name in row if name not in TIMES} for row in read_json_lines(path)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run with an average, a penalty and augmentation."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    return train(quick(path, average=0.9, l2=1e-3, augment=("crop",), epochs=3))


def test_a_run_writes_all_its_files(whole):
    names = {path.name for path in whole.directory.iterdir()}
    assert names == {
        *("config.json", "metrics.jsonl", "intervals.jsonl", "result.json"),
        *("curves.png", "model.safetensors", "checkpoints"),
    }
    assert sorted(path.name for path in (whole.directory / "checkpoints").iterdir()) == [
        f"epoch-0000{epoch}.safetensors" for epoch in (1, 2, 3)
    ]


def test_metrics_have_a_line_an_epoch_with_the_agreed_keys(whole):
    rows = read_json_lines(whole.directory / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(row) == {*METRICS, "test_top5_accuracy"}
        assert 0 <= row["test_accuracy"] <= row["test_top5_accuracy"] <= 1
    assert whole.history.column("train_loss") == [row["train_loss"] for row in rows]


def test_result_has_the_agreed_keys(whole):
    result = json.loads((whole.directory / "result.json").read_text())
    assert set(result) == RESULT
    assert result == whole.values
    last = read_json_lines(whole.directory / "metrics.jsonl")[-1]
    assert (result["test_accuracy"], result["final_train_loss"]) == (last["test_accuracy"], last["train_loss"])
    assert set(result["versions"]) == {"xnn", "python", "numpy"}


def test_config_says_everything_and_trains_the_same_again(whole, tmp_path):
    config = json.loads((whole.directory / "config.json").read_text())
    settings = Settings.from_dict(config)
    assert settings.optimizer == "adamw"
    assert settings.backend == "numpy"
    again = train(dataclasses.replace(settings, run_dir=str(tmp_path / "again")))
    for name in ("model.safetensors", "intervals.jsonl"):
        assert (again.directory / name).read_bytes() == (whole.directory / name).read_bytes()


def test_the_saved_model_gives_the_reported_accuracy(whole):
    with safe_open(whole.directory / "model.safetensors", framework="np") as file:
        about = json.loads(file.metadata()["xnn"])
    assert about["classes"] == [str(digit) for digit in range(10)]
    assert set(about) == {"model", "image_shape", "classes", "normalization", "settings"}
    job = prepare(Settings.from_dict(about["settings"]))
    assert dataclasses.asdict(job.normalization) == {
        name: tuple(values) for name, values in about["normalization"].items()
    }
    job.model.load_state_dict(load_file(whole.directory / "model.safetensors"))
    hits = sum(int(np.sum(job.model(x).argmax(axis=1) == labels)) for x, labels in job.test.epoch(0))
    assert hits / job.test.images == whole.values["test_accuracy"]


def test_the_picture_is_a_picture(whole):
    from PIL import Image

    with Image.open(whole.directory / "curves.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 50


@pytest.mark.parametrize("stop", [5, 20, 25, 65])
def test_an_interrupted_run_ends_as_an_undisturbed_one(whole, tmp_path, stop):
    """23 steps an epoch: inside the first, near its end, in the second, in the last."""
    settings = quick(tmp_path / "run", average=0.9, l2=1e-3, augment=("crop",), epochs=3)
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
    assert rows_without_times(second.directory / "metrics.jsonl") == rows_without_times(
        whole.directory / "metrics.jsonl"
    )
    assert second.values["seconds"] > 0
    assert not list(second.directory.rglob("*.tmp"))


def test_a_run_stopped_before_its_first_checkpoint_begins_again(whole, tmp_path):
    job_settings = Settings.from_dict(json.loads((whole.directory / "config.json").read_text()))
    config = dataclasses.replace(job_settings, run_dir=str(tmp_path / "run")).to_dict()
    RunDirectory.create(tmp_path / "run", config)
    said = []
    result = resume(tmp_path / "run", report=said.append)
    assert "stopped before its first checkpoint: begins again" in said
    assert (result.directory / "model.safetensors").read_bytes() == (whole.directory / "model.safetensors").read_bytes()


def test_a_complete_run_goes_on_only_with_more_epochs(tmp_path):
    first = train(quick(tmp_path / "run", epochs=1))
    with pytest.raises(RunError, match="the run is complete after 1 epochs; give --epochs 2 or more"):
        resume(first.directory)
    with pytest.raises(RunError, match="the run is complete after 1 epochs"):
        resume(first.directory, epochs=1)
    second = resume(first.directory, epochs=2)
    assert second.history.column("epoch") == [1, 2]
    assert second.values["epochs"] == 2
    assert json.loads((first.directory / "config.json").read_text())["epochs"] == 2


def test_fewer_epochs_than_are_done_are_refused(tmp_path):
    first = train(quick(tmp_path / "run", epochs=3), callbacks=[StopAt(30)])
    with pytest.raises(RunError, match="--epochs 1: the run has already begun epoch 2"):
        resume(first.directory, epochs=1)


def test_a_damaged_checkpoint_is_named_and_an_older_one_taken(whole, tmp_path):
    first = train(quick(tmp_path / "run", average=0.9, l2=1e-3, augment=("crop",), epochs=3), callbacks=[StopAt(30)])
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
        (b"[1, 2]", r"config.json is damaged: expected an object"),
        (b'{"epochs": 0}', r"config.json is damaged: --epochs 0: expected"),
        (b'{"epochs": null}', r"config.json is damaged: it has no number of epochs"),
        (b'{"epoch": 3}', r"unknown setting 'epoch'"),
        (b"\xff\xfe", r"config.json is damaged"),
    ],
)
def test_a_damaged_config_is_refused(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(RunError, match=message):
        resume(tmp_path)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    first = train(quick(tmp_path / "run"), callbacks=[StopAt(30)])
    config = json.loads((first.directory / "config.json").read_text())
    (first.directory / "config.json").write_text(json.dumps(config | {"hidden": 9}))
    with pytest.raises(RunError, match="does not fit the run's settings: the state is of another model"):
        resume(first.directory)


def test_another_backend_can_go_on(tmp_path):
    pytest.importorskip("torch")
    first = train(quick(tmp_path / "run", dtype="float64"), callbacks=[StopAt(30)])
    second = resume(first.directory, backend="torch:cpu")
    assert second.values["backend"] == "torch:cpu"
    whole = train(quick(tmp_path / "whole", dtype="float64"))
    assert second.values["final_train_loss"] == pytest.approx(whole.values["final_train_loss"], rel=1e-9)


def test_a_used_directory_is_left_as_it_is(tmp_path):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(RunError, match="is not empty; give a new folder"):
        train(quick(tmp_path))
    with pytest.raises(RunError, match="there is a file of that name"):
        train(quick(tmp_path / "note"))
    with pytest.raises(RunError, match="cannot be made"):
        train(quick(tmp_path / "note" / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_a_directory_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(self, *args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(RunError, match="cannot be made: Permission denied"):
        train(quick(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_is_taken(tmp_path):
    assert train(quick(tmp_path, epochs=1)).directory == tmp_path


def test_unused_paths_are_unused(tmp_path, monkeypatch):
    from datetime import datetime

    monkeypatch.chdir(tmp_path)
    now = datetime(2026, 1, 2, 3, 4, 5)
    first = unused_path("my folder/of images", "cnn", now)
    assert str(first) == "runs/my-folder-of-images-cnn-20260102-030405"
    first.mkdir(parents=True)
    second = unused_path("my folder/of images", "cnn", now)
    assert second.name == f"{first.name}-2"


def test_validation_images_judge_the_epochs_and_the_test_set_only_the_end(tmp_path):
    result = train(quick(tmp_path / "run", validation=200, epochs=2))
    rows = read_json_lines(result.directory / "metrics.jsonl")
    for row in rows:
        assert row["test_loss"] is None
        assert row["test_accuracy"] is None
        assert row["validation_loss"] > 0
        assert 0 <= row["validation_accuracy"] <= 1
    assert set(result.values) == RESULT
    job = prepare(quick(tmp_path, validation=200))
    assert (job.train.images, job.held_out.images) == (1237, 200)
    job.model.load_state_dict(load_file(result.directory / "model.safetensors"))
    hits = sum(int(np.sum(job.model(x).argmax(axis=1) == labels)) for x, labels in job.test.epoch(0))
    assert hits / job.test.images == result.values["test_accuracy"]


def test_early_stopping_ends_a_run_as_complete(tmp_path):
    result = train(quick(tmp_path / "run", validation=0.2, early_stopping=1, epochs=60, lr=0.05))
    assert 1 < result.values["epochs"] < 60
    losses = result.history.column("validation_loss")
    assert losses[-1] >= min(losses[:-1])
    with pytest.raises(RunError, match="the run is complete"):
        resume(result.directory)


def test_divergence_keeps_the_last_good_checkpoint(tmp_path):
    class Break(Callback):
        def epoch_end(self, trainer, row):
            if row["epoch"] == 2:
                trainer.optimizer.lr = 1e30
                trainer.schedule = None

    with pytest.raises(NonFiniteLoss, match="in epoch 3"):
        train(quick(tmp_path / "run", epochs=4, optimizer="sgd"), callbacks=[Break()])
    saved, damaged = RunDirectory.open(tmp_path / "run").newest_checkpoint()
    assert (saved.info["epoch"], damaged) == (2, [])
    assert np.isfinite(saved.arrays["parameters"]).all()


@pytest.mark.parametrize(
    "changes",
    [{"optimizer": name, "lr": 0.01} for name in ("sgd", "adam", "adamw", "rmsprop")]
    + [{"schedule": name, "warmup": 0.3} for name in ("constant", "step", "cosine", "linear", "one-cycle")]
    + [{"augment": ("flip", "crop", "cutout")}, {"clip_norm": 0.1}, {"label_smoothing": 0.1}, {"dtype": "float64"}],
    ids=str,
)
def test_every_setting_trains(tmp_path, changes):
    result = train(quick(tmp_path / "run", epochs=1, **changes))
    assert np.isfinite(result.values["test_loss"])
    rates = [row["lr"] for row in read_json_lines(result.directory / "intervals.jsonl")]
    assert len(set(rates)) > 1 or changes.get("schedule") == "constant" or "optimizer" in changes


def test_lab6_trains_image_by_image(tmp_path):
    result = train(quick(tmp_path / "run", model="lab6", hidden=4, epochs=1, batch_size=None, validation=1300))
    assert result.values["lr"] == 1e-3
    assert read_json_lines(result.directory / "intervals.jsonl")[-1]["step"] == 135


def test_a_bad_name_is_noticed_before_anything_is_written(tmp_path):
    with pytest.raises(SettingError, match="--model cn: unknown"):
        train(quick(tmp_path / "run", model="cn"))
    assert models.names() == ["cnn", "mlp", "lab6"]
    assert list(tmp_path.iterdir()) == []
