"""Runs on a folder of a user's own images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from tests.runs.rows import quick
from tests.training.small import StopAt
from xnn.errors import RunError, SettingError
from xnn.reporting.saved import SavedRun
from xnn.runs import resuming
from xnn.runs.run import resume, train


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
