"""The folder that a run is given, or chooses."""

import dataclasses
import errno
import os
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from tests.runs.rows import quick
from xnn.errors import RunError
from xnn.runs.assembly import prepare
from xnn.runs.directory import RunDirectory, default_path
from xnn.runs.run import resume, train

pytestmark = pytest.mark.usefixtures("undrawn")


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
