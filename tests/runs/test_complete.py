"""Runs that are complete: they are left as they are, say so, and have a picture if there can be one."""

import json

import numpy as np
import pytest

from tests.runs.rows import quick
from xnn.errors import FolderGone, RunError
from xnn.runs import curves
from xnn.runs.run import resume, train
from xnn.training import Callback


@pytest.fixture
def whole(tmp_path):
    return train(quick(tmp_path / "run", average=0.9))


def contents(path):
    return {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("changes", [{}, {"epochs": 2}, {"threads": 1}])
def test_a_complete_run_is_left_as_it_is_and_says_so(whole, changes):
    before, said = contents(whole.directory), []
    again = resume(whole.directory, callbacks=[Callback()], report=said.append, **changes)
    assert said == [f"the run in {whole.directory} is complete after 2 epochs; give --epochs 3 or more to go on"]
    assert contents(whole.directory) == before
    assert (again.was_complete, again.directory, again.values) == (True, whole.directory, whole.values)
    assert again.history.column("train_loss") == whole.history.column("train_loss")
    assert not whole.was_complete
    np.testing.assert_array_equal(again.model.parameters.flat, whole.model.parameters.flat)
    assert again.model is again.model


def test_a_complete_run_needs_neither_data_nor_checkpoints_to_say_so(whole):
    for path in (whole.directory / "checkpoints").iterdir():
        path.unlink()
    config = json.loads((whole.directory / "config.json").read_text())
    (whole.directory / "config.json").write_text(json.dumps(config | {"dataset": "/nowhere"}))
    again = resume(whole.directory)
    assert again.values == whole.values
    with pytest.raises(RunError, match="its checkpoints are gone"):
        again.model  # noqa: B018 - it is made when it is asked for
    (whole.directory / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match="its checkpoints are gone"):
        resume(whole.directory).model  # noqa: B018 - as above


def test_fewer_epochs_than_a_complete_run_has_are_refused(whole):
    with pytest.raises(RunError, match="--epochs 1: the run is complete after 2; give --epochs 3 or more to go on"):
        resume(whole.directory, epochs=1)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"epochs": "2"}', b'{"epochs": 2, "test_accuracy": NaN}'])
def test_a_damaged_result_is_named_and_written_again_once_it_is_deleted(whole, content):
    path = whole.directory / "result.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"result\.json is damaged: .*; delete it, and --resume .*run writes it again"):
        resume(whole.directory)
    path.unlink()
    assert resume(whole.directory).values["test_accuracy"] == whole.values["test_accuracy"]


def test_the_result_is_there_before_the_picture(tmp_path, monkeypatch):
    def draw(*arguments, **options):
        assert (tmp_path / "run" / "result.json").exists()
        assert (tmp_path / "run" / "model.safetensors").exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xnn.runs.curves.draw", draw)
        with pytest.raises(KeyboardInterrupt):
            train(quick(tmp_path / "run"))
    assert not (tmp_path / "run" / "curves.png").exists()
    assert resume(tmp_path / "run").was_complete
    assert (tmp_path / "run" / "curves.png").exists()


@pytest.mark.parametrize("error", [ImportError("no matplotlib"), ValueError("odd\nvalues"), MemoryError()])
def test_a_picture_that_fails_is_a_line_and_costs_nothing_else(tmp_path, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("xnn.runs.curves._picture", fail)
    said, warned = [], []
    result = train(quick(tmp_path / "run"), report=said.append, warn=warned.append)
    line = f"no curves.png: {type(error).__name__}: {' '.join(str(error).split())}; the run is complete without it"
    assert warned == [line]
    assert line not in said
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result.values
    assert resume(tmp_path / "run", report=said.append).was_complete
    assert said[-1] == line


def test_a_picture_that_cannot_be_written_is_a_line(tmp_path):
    warned = []
    (tmp_path / "run").mkdir()

    class Obstruct(Callback):
        def fit_end(self, trainer):
            (tmp_path / "run" / "curves.png").mkdir()

    result = train(quick(tmp_path / "run"), callbacks=[Obstruct()], warn=warned.append)
    assert result.values is not None
    assert len(warned) == 1
    assert warned[0].startswith(f"no curves.png: cannot write {tmp_path / 'run' / 'curves.png'}: ")


@pytest.mark.parametrize("views", [1, 2])
def test_the_picture_and_the_result_say_over_how_many_views_its_accuracy_is(tmp_path, monkeypatch, views):
    drawn = []
    draw = curves.draw
    monkeypatch.setattr("xnn.runs.curves.draw", lambda *rows, **more: drawn.append(more) or draw(*rows, **more))
    result = train(quick(tmp_path / "run", test_views=views))
    assert result.values["test_views"] == views
    title = f"digits, mlp: {100 * result.values['test_accuracy']:.2f} % of the test images"
    assert (drawn[0]["title"], drawn[0]["views"]) == (title if views == 1 else f"{title}, 2 views", views)
    # A result of an earlier version does not say it.
    path = result.directory / "result.json"
    path.write_text(json.dumps({name: value for name, value in result.values.items() if name != "test_views"}))
    (result.directory / "curves.png").unlink()
    resume(result.directory)
    assert drawn[1] == drawn[0]


def test_a_folder_that_is_gone_is_no_matter_of_the_picture(tmp_path, monkeypatch):
    def gone(*arguments, **options):
        raise FolderGone("gone")

    monkeypatch.setattr("xnn.runs.curves.draw", gone)
    with pytest.raises(FolderGone):
        train(quick(tmp_path / "run"))
    assert (tmp_path / "run" / "result.json").exists()
