"""Runs that begin with another run's weights, and with some of them frozen."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tests.runs.rows import quick
from tests.training.small import StopAt
from xnn import recipes
from xnn.cli import train as command
from xnn.errors import RunError, SettingError
from xnn.runs import Settings
from xnn.runs.assembly import prepare
from xnn.runs.reading import RunFiles
from xnn.runs.run import resume, train
from xnn.runs.starting import Start
from xnn.tasks import Task

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run of 8 hidden units on the digits."""
    return train(quick(tmp_path_factory.mktemp("first") / "run", epochs=1))


@pytest.fixture
def pictures(tmp_path):
    """Grey pictures of 8 x 8 in three classes."""
    from PIL import Image

    for number, name in enumerate("abc"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for each in range(10):
            pixels = np.random.default_rng(10 * number + each).integers(0, 80, (8, 8)) + 80 * number
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pictures" / name / f"{each}.png")
    return tmp_path / "pictures"


def begun(first, **changes):
    """Return a job that begins with the run, and the lines that it said."""
    said = []
    given = {"from_": str(first.directory), "epochs": 1, "batch_size": 8, "backend": "numpy"} | changes
    return prepare(Settings(**given), said.append), said


def test_all_is_taken_for_the_same_classes_with_the_model_and_its_width(first):
    job, said = begun(first)
    assert (job.settings.model, job.settings.hidden) == ("mlp", 8)
    expected = load_file(first.directory / "model.safetensors")
    for name, array in job.model.state_dict().items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert [line for line in said if "anew" in line] == []


def test_the_head_is_new_for_other_classes(first, pictures):
    job, said = begun(first, dataset=str(pictures))
    saved, state = load_file(first.directory / "model.safetensors"), job.model.state_dict()
    assert state["7.weight"].shape == (8, 3)
    for name, array in state.items():
        assert name.startswith("7.") or np.array_equal(array, saved[name]), name
    assert said[-2:] == [
        f"weights from {first.directory}: 1.weight, 2.weight, 2.bias, 4.weight, 5.weight, ... and 5 more",
        "begins anew: 7.weight, 7.bias (the classes are others)",
    ]


def test_as_many_other_classes_have_a_new_head_too(first, pictures):
    for name in "defghij":
        shutil.copytree(pictures / "a", pictures / name)
    state = begun(first, dataset=str(pictures))[0].model.state_dict()
    saved = load_file(first.directory / "model.safetensors")
    assert state["7.weight"].shape == saved["7.weight"].shape
    assert not np.array_equal(state["7.weight"], saved["7.weight"])
    np.testing.assert_array_equal(state["4.weight"], saved["4.weight"])


def test_what_does_not_fit_begins_anew_and_nothing_at_all_is_refused(first):
    job, said = begun(first, hidden=5)
    assert job.model.state_dict()["1.weight"].shape == (64, 5)
    assert said[-1].startswith("begins anew: 1.weight, 2.weight, ")
    with pytest.raises(SettingError, match=r"none of its weights fits .* model mlp with --hidden 8, so leave out"):
        begun(first, model="cnn")


def test_a_given_recipe_keeps_its_model(first):
    assert begun(first, recipe="mlp")[0].settings.hidden == 8
    with pytest.raises(SettingError, match="none of its weights fits"):
        begun(first, recipe="lab6", hidden=3)


@given(st.sampled_from(["cnn", "residual"]), st.integers(1, 3), st.integers(16, 24), st.booleans())
def test_colour_filters_see_a_grey_image_as_they_saw_it_in_colour(name, hidden, side, to_grey):
    def model(channels, seed):
        task = Task("pictures", (side, side, channels), 3, 100)
        return recipes.network(name, task, hidden).build(task.image_shape, backend="numpy", seed=seed)

    old, new = model(3 if to_grey else 1, 0), model(1 if to_grey else 3, 1)
    said = []
    Start(Path("old"), Settings(model=name), tuple("abc"), old.state_dict()).give(new, "abc", said.append)
    image = np.random.default_rng(0).normal(size=(2, side, side, 1 if to_grey else 3)).astype(np.float32)
    seen = np.repeat(image, 3, axis=-1) if to_grey else image.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(new(image), old(seen), rtol=1e-4, atol=1e-4)
    how = "added up over" if to_grey else "shared out among"
    assert said[1:] == [f"0.weight: {how} the colours, to fit these images"]


def test_training_begins_where_the_other_run_ended(first, tmp_path):
    result = train(quick(tmp_path / "run", from_=str(first.directory), lr=1e-9, epochs=1, weight_decay=0.0))
    assert result.values["test_accuracy"] == pytest.approx(first.values["test_accuracy"], abs=0.01)


@pytest.mark.parametrize("stop", [None, 5, 30])
def test_going_on_does_not_need_the_other_run(first, tmp_path, stop, monkeypatch):
    other = shutil.copytree(first.directory, tmp_path / "other")
    whole = train(quick(tmp_path / "whole", from_=str(first.directory)))

    def killed(trainer, *arguments):
        raise SystemExit

    if stop is None:  # before the first step
        monkeypatch.setattr("xnn.training.trainer.Trainer._run_epoch", killed)
        with pytest.raises(SystemExit):
            train(quick(tmp_path / "run", from_=str(other)))
        monkeypatch.undo()
    else:
        train(quick(tmp_path / "run", from_=str(other)), callbacks=[StopAt(stop)])
    shutil.rmtree(other)
    result = resume(tmp_path / "run")
    before, after = (load_file(each.directory / "model.safetensors") for each in (whole, result))
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_a_run_killed_before_it_saved_anything_needs_the_other(first, tmp_path):
    other = shutil.copytree(first.directory, tmp_path / "other")
    train(quick(tmp_path / "run", from_=str(other)), callbacks=[StopAt(5)])
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.rmtree(other)
    with pytest.raises(RunError, match=rf"^--from {other}: there is no such folder"):
        resume(tmp_path / "run")


def test_the_saved_model_does_not_say_where_the_other_run_was(first, tmp_path):
    result = train(quick(tmp_path / "run", from_=str(first.directory), epochs=1))
    assert str(first.directory).encode() not in (result.directory / "model.safetensors").read_bytes()
    assert json.loads((result.directory / "config.json").read_text())["from_"] == str(first.directory)
    # It may itself be begun with.
    assert begun(result)[0].settings.hidden == 8


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda arrays: arrays.update({"7.bias": np.full(10, np.nan, np.float32)}), "'7.bias' does not"),
        (lambda arrays: arrays.update({"7.bias": arrays["7.bias"].astype(np.int64)}), "'7.bias' does not"),
        (lambda arrays: arrays.update({"more": np.zeros(3, np.float32)}), "its description lists|do not have the"),
        (lambda arrays: arrays.pop("7.bias"), "its description lists|do not have the"),
    ],
)
@pytest.mark.parametrize("described", [True, False])
def test_a_strangers_weights_are_checked(first, tmp_path, harm, message, described):
    run = shutil.copytree(first.directory, tmp_path / "run")
    path = run / "model.safetensors"
    with RunFiles.existing(run, "--from") as directory:
        description = directory.read_description()
    arrays = load_file(path)
    harm(arrays)
    if described:
        from xnn import tensors

        if "more" not in arrays and "7.bias" in arrays:
            description["tensors"] = tensors.described(arrays)
    else:
        del description["tensors"]
    save_file(arrays, path, {"xnn": json.dumps(description)})
    with pytest.raises(RunError, match=f"model.safetensors is damaged: .*({message})"):
        begun(first, from_=str(run))


def test_what_is_no_complete_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"^--from .*none: there is no such folder"):
        prepare(Settings(from_=str(tmp_path / "none")))
    with pytest.raises(RunError, match=r"^--from .*: there is no run in it"):
        prepare(Settings(from_=str(tmp_path)))
    train(quick(tmp_path / "run"), callbacks=[StopAt(5)])
    with pytest.raises(RunError, match=r"there is no model in it .* xnn-train --resume"):
        prepare(Settings(from_=str(tmp_path / "run")))


# --- freezing ---


def test_frozen_weights_stay_and_statistics_follow_the_data(first, tmp_path):
    # With another seed the statistics are of other images.
    run = train(quick(tmp_path / "run", from_=str(first.directory), freeze=("1", "2.weight"), epochs=1, seed=1))
    before, after = (load_file(each.directory / "model.safetensors") for each in (first, run))
    unchanged = {name for name in before if np.array_equal(before[name], after[name])}
    assert unchanged == {"1.weight", "2.weight"}
    assert not np.array_equal(before["2.running_mean"], after["2.running_mean"])


@pytest.mark.parametrize("stop", [5, 30])
def test_what_is_frozen_stays_so_when_a_run_goes_on(tmp_path, stop):
    run = train(quick(tmp_path / "run", freeze=("body",)), callbacks=[StopAt(stop)])
    begun_with = prepare(quick(tmp_path / "other")).model.state_dict()
    resume(run.directory)
    after = load_file(run.directory / "model.safetensors")
    changed = {name for name in after if not np.array_equal(begun_with[name], after[name])}
    assert {name for name in changed if "running" not in name} == {"7.weight", "7.bias"}


def test_freezing_nothing_or_everything_is_refused():
    with pytest.raises(SettingError, match=r"^--freeze 9: no parameter .*; there are: 1\.weight, .*, or body for all"):
        prepare(Settings(model="mlp", hidden=2, backend="numpy", freeze=("1", "9")))
    with pytest.raises(SettingError, match=r"^--freeze body,7: leaves nothing to train"):
        prepare(Settings(model="mlp", hidden=2, backend="numpy", freeze=("body", "7")))


def test_the_command_takes_the_flags(first, tmp_path, capsys):
    arguments = ["--from", str(first.directory), "--freeze", "1,2", "--freeze", "4", "--body-lr", "0.1"]
    assert command.main([*arguments, "--epochs", "1", "--run-dir", str(tmp_path / "run")]) == 0
    assert f"weights from {first.directory}: " in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["model"], config["freeze"], config["body_lr"]) == ("mlp", ["1", "2", "4"], 0.1)
