"""Whole runs on the embedded digits, and what they write."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

import xnn
from tests.runs.rows import RESULT, quick, rows_of
from xnn import kernels
from xnn.errors import NonFiniteLoss, SettingError
from xnn.optim.tables import OPTIMIZERS, SCHEDULES
from xnn.reporting.saved import load_model
from xnn.runs import Settings
from xnn.runs.assembly import prepare
from xnn.runs.directory import METRICS
from xnn.runs.reading import RunFiles
from xnn.runs.run import train
from xnn.training import Callback


def test_a_run_writes_all_its_files(whole):
    names = {path.name for path in whole.directory.iterdir()}
    assert names == {
        *("config.json", "metrics.jsonl", "intervals.jsonl", "result.json"),
        *("curves.png", "model.safetensors", "checkpoints", ".lock"),
    }
    assert sorted(path.name for path in (whole.directory / "checkpoints").iterdir()) == [
        f"epoch-0000{epoch}.safetensors" for epoch in (1, 2, 3)
    ]


def test_metrics_have_a_line_an_epoch_with_the_agreed_keys(whole):
    rows = rows_of(whole.directory / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(row) == {*METRICS, "test_top5_accuracy"}
        assert 0 <= row["test_accuracy"] <= row["test_top5_accuracy"] <= 1
    assert whole.history.column("train_loss") == [row["train_loss"] for row in rows]


def test_result_has_the_agreed_keys(whole):
    result = json.loads((whole.directory / "result.json").read_text())
    assert set(result) == RESULT
    assert result == whole.values
    last = rows_of(whole.directory / "metrics.jsonl")[-1]
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
    assert set(about) == {
        *("model", "image_shape", "classes", "normalization", "settings", "tensors"),
        *("architecture", "input_shape", "dtype", "precision"),
    }
    job = prepare(Settings.from_dict(about["settings"]))
    assert dataclasses.asdict(job.normalization) == {
        name: tuple(values) for name, values in about["normalization"].items()
    }
    job.model.load_state_dict(load_file(whole.directory / "model.safetensors"))
    hits = sum(int(np.sum(job.model(x).argmax(axis=1) == labels)) for x, labels in job.test.epoch(0))
    assert hits / job.test.images == whole.values["test_accuracy"]


@pytest.mark.parametrize("file", ["", "model.safetensors"])
def test_the_saved_model_is_loaded_without_the_recipe(whole, file):
    model, known = xnn.load(whole.directory / file, "numpy"), load_model(whole.directory, "numpy").model
    x = np.random.default_rng(0).standard_normal((5, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(model(x), known(x))
    assert repr(model) == repr(known)


def test_the_picture_is_a_picture(whole):

    with Image.open(whole.directory / "curves.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 50


def test_a_run_says_once_what_slows_its_products(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "held_back", lambda backend: f"something slows {backend.library}")
    said, warned = [], []
    train(quick(tmp_path / "run", epochs=1), report=said.append, warn=warned.append)
    assert said.count("something slows numpy") == 1
    assert warned == []


def test_settings_are_wanted_not_a_dict():
    with pytest.raises(TypeError, match=r"train takes Settings, .*, not dict"):
        train({"epochs": 1})


def test_divergence_keeps_the_last_good_checkpoint(tmp_path):
    class Break(Callback):
        def epoch_end(self, trainer, row):
            if row["epoch"] == 2:
                trainer.optimizer.lr = 1e30
                trainer.schedule = None

    with pytest.raises(NonFiniteLoss, match="in epoch 3"):
        train(quick(tmp_path / "run", epochs=4, optimizer="sgd"), callbacks=[Break()])
    with RunFiles.existing(tmp_path / "run", "") as directory:
        saved, damaged = directory.newest_checkpoint()
    assert (saved.info["epoch"], damaged) == (2, [])
    assert np.isfinite(saved.arrays["parameters"]).all()


@pytest.mark.parametrize(
    "changes",
    [{"optimizer": name, "lr": 0.01} for name in OPTIMIZERS]
    + [{"schedule": name, "warmup": 0.3} for name in SCHEDULES]
    + [
        {"augment": names}
        for names in (
            ("flip", "crop", "cutout"),
            ("alternating-flip", "shift"),
            ("resized-crop", "rotate", "colour"),
            ("mixup",),
            ("cutmix", "flip"),
        )
    ]
    + [{"model": "cnn", "init": "dirac"}, {"decay": "all"}, {"test_views": 2}]
    + [{"clip_norm": 0.1}, {"label_smoothing": 0.1}, {"dtype": "float64"}],
    ids=str,
)
def test_every_setting_trains(tmp_path, changes):
    result = train(quick(tmp_path / "run", epochs=1, **changes))
    assert np.isfinite(result.values["test_loss"])
    rates = [row["lr"] for row in rows_of(result.directory / "intervals.jsonl")]
    assert len(set(rates)) > 1 or changes.get("schedule") == "constant" or "optimizer" in changes


def test_lab6_trains_image_by_image(tmp_path):
    result = train(quick(tmp_path / "run", model="lab6", hidden=4, epochs=1, batch_size=None, validation=1300))
    assert result.values["lr"] == 1e-3
    assert rows_of(result.directory / "intervals.jsonl")[-1]["step"] == 135


def test_a_bad_name_is_noticed_before_anything_is_written(tmp_path):
    with pytest.raises(SettingError, match="--model cn: unknown"):
        train(quick(tmp_path / "run", model="cn"))
    assert list(tmp_path.iterdir()) == []
