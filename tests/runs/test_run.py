"""Whole runs on the embedded digits: what they write, and how they go on."""

import dataclasses
import errno
import json
import os
import shutil
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

import xnn
from tests.runs.rows import quick, rows_of
from tests.training.small import StopAt, without_times
from xnn import kernels
from xnn.errors import NonFiniteLoss, RunError, SettingError
from xnn.optim.tables import OPTIMIZERS, SCHEDULES
from xnn.reporting.saved import SavedRun, load_model
from xnn.runs import Settings, resuming
from xnn.runs.assembly import prepare
from xnn.runs.directory import METRICS, RunDirectory, default_path
from xnn.runs.reading import RunFiles
from xnn.runs.run import resume, train
from xnn.training import Callback

RESULT = {
    *("dataset", "recipe", "backend", "epochs", "lr", "final_train_loss", "test_loss", "test_accuracy"),
    *("test_views", "seconds", "peak_memory_mib", "parameters", "seed", "versions"),
    *("training_images", "finished", "machine"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run with an average, a penalty and augmentation."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    return train(quick(path, average=0.9, l2=1e-3, augment=("crop", "mixup", "cutmix"), epochs=3))


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


def test_a_run_says_once_what_slows_its_products(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "held_back", lambda backend: f"something slows {backend.library}")
    said, warned = [], []
    train(quick(tmp_path / "run", epochs=1), report=said.append, warn=warned.append)
    assert said.count("something slows numpy") == 1
    assert warned == []


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


def test_the_default_path_has_the_data_set_the_model_and_the_time():
    now = datetime(2026, 1, 2, 3, 4, 5)
    assert str(default_path("my folder/of images", "cnn", now)) == "runs/my-folder-of-images-cnn-20260102-030405"
    assert str(default_path("../", "cnn", now)) == "runs/data-cnn-20260102-030405"


@pytest.mark.parametrize("letter", ["a", "é", "漢"])
def test_the_default_path_is_short_enough_for_a_file_name(letter):
    path = default_path(letter * 300, "cnn")
    assert letter in path.name
    assert len(path.name.encode()) <= 60 + len("-cnn-20260102-030405")


def test_runs_begun_in_the_same_second_have_folders_of_their_own(tmp_path):
    with ExitStack() as stack:
        made = [
            stack.enter_context(RunDirectory.create(tmp_path / "run", {"epochs": 1}, numbered=True)) for _ in range(3)
        ]
        paths = [directory.path for directory in made]
        assert [path.name for path in paths] == ["run", "run-2", "run-3"]
        assert [directory.read_settings().run_dir for directory in made] == [str(path) for path in paths]


def test_another_run_may_take_the_default_folder_while_the_data_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xnn.runs.run.default_path", lambda dataset, model: Path("runs") / "same")

    def prepare_slowly(settings, report, **options):
        (tmp_path / "runs" / "same").mkdir(parents=True)
        return prepare(settings, report, **options)

    monkeypatch.setattr("xnn.runs.run.prepare", prepare_slowly)
    result = train(dataclasses.replace(quick(""), run_dir=None, epochs=1))
    assert str(result.directory) == "runs/same-2"
    assert list((tmp_path / "runs" / "same").iterdir()) == []


@pytest.mark.parametrize("method", ["exists", "is_dir", "iterdir"])
def test_a_folder_that_may_not_be_looked_into_is_refused(tmp_path, monkeypatch, method):
    """As before Python 3.14, where these methods raise."""
    with RunDirectory.create(tmp_path / "run", {}):
        pass
    (tmp_path / "empty").mkdir()

    def refuse(self, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(RunError, match=r"--run-dir .*empty: cannot be read: Permission denied"):
        train(quick(tmp_path / "empty"))
    if method not in ("exists", "iterdir"):
        with pytest.raises(RunError, match=r"--resume .*run: cannot be used: Permission denied"):
            resume(tmp_path / "run")


def test_a_path_that_is_too_long_is_refused(tmp_path):
    path = tmp_path / ("x" * 300)
    with pytest.raises(RunError, match=f"--run-dir .*: {os.strerror(errno.ENAMETOOLONG)}"):
        train(quick(path))
    with pytest.raises(RunError, match=f"--resume .*: {os.strerror(errno.ENAMETOOLONG)}"):
        resume(path)


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    result = train(quick("~/run", epochs=1))
    assert result.directory == tmp_path / "home" / "run"
    assert resume("~/run", epochs=2).directory == result.directory
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def write_images(folder, images=6, classes=("cat", "dog"), shape=(8, 8), parts=("train", "test")):
    """A folder of class/image.png, with as many test images as training images."""

    random = np.random.default_rng(0)
    for part in parts:
        for name in classes:
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for number in range(images):
                pixels = random.integers(0, 256, shape, dtype="uint8")
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder of images, the working directory beside it, and a cache of its own."""
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images")
    return tmp_path / "images"


def of_folder(path, **changes):
    return quick(path, **({"dataset": "images", "batch_size": 2, "epochs": 4, "log_every": 1} | changes))


def test_a_run_goes_on_from_another_working_directory(images, tmp_path, monkeypatch):
    first = train(of_folder("run", data_dir="."), callbacks=[StopAt(8)])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["dataset"], config["data_dir"]) == (str(images), str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    first.directory.rename(elsewhere / "moved")
    monkeypatch.chdir(elsewhere)
    second = resume("moved")
    with safe_open(elsewhere / "moved" / "model.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["xnn"])["settings"]["dataset"] == "images"
    whole = train(of_folder("whole", dataset=str(images)))
    for name in ("model.safetensors", "intervals.jsonl"):
        assert (second.directory / name).read_bytes() == (whole.directory / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "train" / "cat" / "5.png").unlink(), "training images 11, not 12"),
        (lambda folder: write_images(folder, classes=("eel",)), "training images 18, not 12, classes 3, not 2"),
        (
            lambda folder: (folder / "train" / "cat" / "5.png").rename(folder / "train" / "dog" / "6.png"),
            r"began with: checksum of the labels \d+, not \d+; put it back",
        ),
    ],
    ids=["an image less", "another class", "another label"],
)
def test_resuming_over_changed_data_is_refused(images, change, message):
    first = train(of_folder("run"), callbacks=[StopAt(8)])
    change(images)
    with pytest.raises(RunError, match=f"--resume run: the data is not what the run .*{message}"):
        resume(first.directory)


def test_a_folder_may_come_with_images_to_validate_on(images):
    write_images(images, images=4, parts=("val",))
    result = train(of_folder("run", early_stopping=3, epochs=2))
    assert None not in result.history.column("validation_loss")
    assert "test_loss" not in result.history[0]
    assert result.values["test_loss"] not in result.history.column("validation_loss")
    assert SavedRun.open("run").held_out == "validation"
    with pytest.raises(SettingError, match=r"^--validation 0.2: images comes with validation images; leave it out"):
        train(of_folder("other", validation=0.2))


def test_the_first_lines_count_the_classes_and_warn_where_they_are_far_apart(images):
    write_images(images, images=40, classes=("cat",), parts=("train",))
    lines = []
    train(of_folder("run", validation=4, epochs=1), report=lines.append)
    assert lines[1] == "training images of each class: cat 37, dog 5"
    assert lines[2].startswith("warning: cat has 37 training images and dog 5, so a model may")


def test_a_size_that_was_chosen_is_kept(images):
    """So the run finds it again when other pictures have come."""
    write_images(images, shape=(18, 20), classes=("dog",))
    assert train(of_folder("run")).model is not None
    assert json.loads(Path("run/config.json").read_text())["image_size"] == 16
    with safe_open("run/model.safetensors", framework="np") as file:
        description = json.loads(file.metadata()["xnn"])
    assert (description["settings"]["image_size"], description["image_shape"]) == (16, [16, 16, 1])
    assert resume("run", epochs=5).values["epochs"] == 5
    assert len(list(Path("cache").iterdir())) == 1


@pytest.mark.parametrize("held_back", ["by the run", "in the folder", "by whoever made it"])
def test_a_run_whose_images_were_divided_another_way_goes_on_only_if_that_does_not_matter(
    images, monkeypatch, held_back
):
    """As by versions before there was a number for it."""
    if held_back == "in the folder":
        for path in list((images / "train").iterdir()):
            path.rename(images / path.name)
        for part in ("train", "test"):
            shutil.rmtree(images / part)
    facts = resuming.data_facts
    with monkeypatch.context() as patch:
        patch.setattr(resuming, "data_facts", lambda job: {k: v for k, v in facts(job).items() if "dividing" not in k})
        changes = {"validation": 0.25} if held_back == "by the run" else {}
        first = train(of_folder("run", **changes), callbacks=[StopAt(3)])
    if held_back == "by whoever made it":
        assert resume(first.directory).values is not None
        return
    with pytest.raises(RunError, match=r"^--resume run: .* chose other images to hold back; go on with that version"):
        resume(first.directory)


def test_a_model_that_does_not_fit_the_images_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))
    write_images(tmp_path / "images", shape=(1, 8))
    with pytest.raises(SettingError, match="--model cnn does not fit images of 1x8x1: "):
        train(quick(tmp_path / "run", model="cnn", dataset=str(tmp_path / "images")))
    assert not (tmp_path / "run").exists()


def test_settings_are_wanted_not_a_dict():
    with pytest.raises(TypeError, match=r"train takes Settings, .*, not dict"):
        train({"epochs": 1})


def test_a_kill_does_not_lose_an_early_stop(tmp_path):
    """The checkpoint of the last epoch is written, the result is not."""
    whole = train(quick(tmp_path / "run", validation=0.2, early_stopping=1, epochs=60, lr=0.05))
    (whole.directory / "result.json").unlink()
    again = resume(whole.directory)
    assert again.history == whole.history
    assert again.values["epochs"] == whole.values["epochs"]


def test_validation_images_judge_the_epochs_and_the_test_set_only_the_end(tmp_path):
    result = train(quick(tmp_path / "run", validation=200, epochs=2))
    rows = rows_of(result.directory / "metrics.jsonl")
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


@pytest.mark.parametrize("every", [1, 2])
def test_early_stopping_ends_a_run_as_complete_and_says_so(tmp_path, every):
    said = []
    chosen = {"validation": 0.2, "early_stopping": 1, "evaluate_every": every, "epochs": 60, "lr": 0.05}
    result = train(quick(tmp_path / "run", **chosen), report=said.append)
    done = result.values["epochs"]
    assert every < done < 60
    losses = result.history.column("validation_loss")
    assert [loss is not None for loss in losses] == [epoch % every == 0 for epoch in range(1, done + 1)]
    assert losses[-1] >= min(loss for loss in losses[:-1] if loss is not None)
    reason = f"validation_loss has not improved for {every} epoch{'s' * (every > 1)}"
    assert said.count(f"ended after epoch {done} of 60: {reason}") == 1
    assert resume(result.directory).was_complete


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


def test_images_too_small_to_be_moved_are_refused(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (1, 9)).save(tmp_path / "data" / label / f"{number}.png")
    with pytest.raises(
        SettingError, match=r"--augment shift: moves images by 2 pixels, and those of 9x1 are too small"
    ):
        train(quick(tmp_path / "run", dataset=str(tmp_path / "data"), augment=("shift",)))
    assert not (tmp_path / "run").exists()
