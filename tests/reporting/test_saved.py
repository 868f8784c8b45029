"""A run is read as it was written, and what was tampered with is named."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.reporting.runs import redescribe
from xnn.errors import RunError
from xnn.reporting.saved import SavedRun, load_model


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
