"""A run is read as it was written, and what was tampered with is named."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.reporting.runs import StopAfter, redescribe
from tests.runs.rows import quick
from xnn.errors import RunError
from xnn.reporting.saved import SavedRun, load_model
from xnn.runs import checkpoints
from xnn.runs.assembly import prepare
from xnn.runs.run import resume, train


def test_the_model_is_the_one_that_was_saved(finished):
    saved = load_model(finished.directory, "numpy")
    state = saved.model.state_dict()
    with safe_open(finished.directory / "model.safetensors", "np") as file:
        assert set(state) == set(file.keys())
        for name, array in state.items():
            np.testing.assert_array_equal(array, file.get_tensor(name))
    assert saved.image_shape == (8, 8, 1)
    assert saved.classes == tuple("0123456789")
    assert saved.settings.average == 0.9


def test_a_run_is_read_and_not_touched(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.directory.rglob("*")}
    run = SavedRun.open(finished.directory)
    load_model(finished.directory, "numpy")
    assert {path: path.stat().st_mtime_ns for path in finished.directory.rglob("*")} == before
    assert run.history == finished.history or [row["epoch"] for row in run.history] == [1, 2, 3]
    assert run.result == finished.values
    assert run.held_out == "test"


def test_a_run_under_way_has_no_result(finished, tmp_path):
    shutil.copy(finished.directory / "config.json", tmp_path)
    run = SavedRun.open(tmp_path)
    assert (run.result, run.history, run.intervals) == (None, [], [])
    with pytest.raises(RunError, match=r"there is no model in it .*--resume"):
        load_model(tmp_path)


@pytest.fixture(scope="module", params=[0.0, 0.9], ids=["plain", "averaged"])
def interrupted(request, tmp_path_factory):
    """A run of 23 steps an epoch that was stopped inside its second one."""
    path = tmp_path_factory.mktemp("interrupted") / "run"
    return train(quick(path, average=request.param, validation=0.1), callbacks=[StopAfter(30)]).directory


def newest(directory):
    return max((directory / "checkpoints").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def held_by(path):
    """The vectors that a checkpoint is to be judged by."""
    arrays = checkpoints.load(path).arrays
    prefix = "average/" if "average/parameters" in arrays else ""
    return arrays[f"{prefix}parameters"], arrays[f"{prefix}buffers"]


def assert_holds(saved, path):
    for flat, expected in zip((saved.model.parameters.flat, saved.model.buffers.flat), held_by(path), strict=True):
        np.testing.assert_array_equal(flat, expected)


def test_an_interrupted_run_has_the_model_of_its_last_checkpoint(interrupted):
    saved = load_model(interrupted, "numpy")
    assert newest(interrupted).name.startswith("step-")
    assert_holds(saved, newest(interrupted))
    assert saved.moment == "after epoch 1 of 2, batch 9"
    assert saved.classes == tuple("0123456789")
    assert saved.normalization == prepare(SavedRun.open(interrupted).settings).normalization
    arrays = checkpoints.load(newest(interrupted)).arrays
    assert ("average/parameters" in arrays) == bool(saved.settings.average)


def test_a_damaged_checkpoint_is_passed_over(interrupted, tmp_path):
    shutil.copytree(interrupted, tmp_path / "run")
    path = newest(tmp_path / "run")
    path.write_bytes(path.read_bytes()[:-5])
    saved = load_model(tmp_path / "run", "numpy")
    assert saved.moment == "after epoch 1 of 2"
    assert_holds(saved, tmp_path / "run" / "checkpoints" / "epoch-00001.safetensors")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda info: info.pop("model"), "is of an earlier version"),
        (lambda info: info["model"].update(classes=["one"]), "do not have the"),
        (lambda info: info["model"].update(image_shape=[9, 8, 1]), "do not have the"),
        (lambda info: info["model"]["settings"].update(hidden=1_000_000), "do not have the"),
        (lambda info: info["model"].update(normalization={}), "normalization"),
        (lambda info: info["layout"].reverse(), "its parameters are not those of its model"),
    ],
    ids=["none", "classes", "shape", "width", "normalization", "layout"],
)
def test_a_checkpoint_that_does_not_describe_its_model_is_named(interrupted, tmp_path, change, word):
    shutil.copytree(interrupted, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        saved = checkpoints.load(path)
        change(saved.info)
        checkpoints.save(path.parent, saved.arrays, saved.info)
    with pytest.raises(RunError, match="no model in it, nor a checkpoint") as caught:
        load_model(tmp_path / "run", "numpy")
    assert word in str(caught.value)
    assert "xnn-train --resume" in str(caught.value)


def test_a_prolonged_run_is_judged_by_its_checkpoint_and_not_by_the_model_of_its_first_end(finished, tmp_path):
    shutil.copytree(finished.directory, tmp_path / "run")
    resume(tmp_path / "run", epochs=5, callbacks=[StopAfter(23 * 4 + 1)])
    assert (tmp_path / "run" / "model.safetensors").exists()
    saved = load_model(tmp_path / "run", "numpy")
    assert saved.moment == "after epoch 4 of 5, batch 1"
    assert_holds(saved, newest(tmp_path / "run"))
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert load_model(tmp_path / "run", "numpy").moment is None


def test_what_is_no_run_is_named(tmp_path):
    for function in (SavedRun.open, load_model):
        with pytest.raises(RunError, match="no such folder"):
            function(tmp_path / "nowhere")
        with pytest.raises(RunError, match=r"no config\.json"):
            function(tmp_path)
        with pytest.raises(RunError, match="too long"):
            function("x" * 300)


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, '"text"'])
@pytest.mark.parametrize("name", ["config.json", "result.json"])
def test_damaged_json_is_named(finished, tmp_path, name, content):
    shutil.copytree(finished.directory, tmp_path / "run")
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(RunError, match=f"{name} is damaged"):
        SavedRun.open(tmp_path / "run")


@pytest.mark.parametrize("changes", [{"lr": "fast"}, {"colour": 3}])
def test_impossible_settings_are_named(finished, tmp_path, changes):
    config = json.loads((finished.directory / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=str(next(iter(changes)))):
        SavedRun.open(tmp_path)


@pytest.fixture(scope="module")
def tampered(finished, tmp_path_factory):
    """A copy of the run whose model may be spoilt, and the sound model's bytes."""
    folder = tmp_path_factory.mktemp("tampered")
    shutil.copy(finished.directory / "config.json", folder)
    return folder, (finished.directory / "model.safetensors").read_bytes()


@given(place=st.integers(0, 1500), value=st.integers(0, 255), cut=st.booleans())
def test_a_changed_byte_is_a_clear_error_or_harmless(tampered, place, value, cut):
    """Header, description and weights lie in these bytes; nothing but a RunError may come out."""
    folder, content = tampered
    spoilt = content[:place] if cut else content[:place] + bytes([value]) + content[place + 1 :]
    (folder / "model.safetensors").write_bytes(spoilt)
    complaint = None
    try:
        load_model(folder, "numpy")
    except RunError as error:
        complaint = str(error)
    assert complaint is None or "model.safetensors is damaged" in complaint
    assert complaint is not None or not cut


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "cnn"},
        {"image_shape": [8, 8]},
        {"image_shape": [9, 8, 1]},
        {"image_shape": "large"},
        {"classes": ["one"]},
        {"classes": 10},
        {"normalization": {}},
        {"normalization": {"mean": [0.1, 0.2], "std": [1.0, 1.0]}},
        {"settings": None},
        {"settings": {"model": "nothing"}},
        {"settings": {"hidden": 8}},
    ],
    ids=json.dumps,
)
def test_a_description_that_does_not_fit_is_named(tampered, tmp_path, changes):
    folder, content = tampered
    shutil.copy(folder / "config.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    redescribe(tmp_path / "model.safetensors", lambda description: description | changes)
    if changes == {"model": "cnn"}:
        # For people only: the settings say which model it is.
        assert load_model(tmp_path, "numpy").settings.model == "mlp"
        return
    with pytest.raises(RunError, match=r"model\.safetensors is damaged"):
        load_model(tmp_path, "numpy")


def test_a_model_without_a_description_is_named(tampered, tmp_path):
    shutil.copy(tampered[0] / "config.json", tmp_path)
    save_file({"a": np.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match="it has no 'xnn'"):
        load_model(tmp_path, "numpy")
