"""A run's settings lead neither to the network, nor to a stranger's files read by trusting readers."""

import dataclasses
import shutil

import pytest

import xnn.data.sources
from tests.reporting.runs import redescribe
from xnn.errors import DataError
from xnn.reporting.contents import contents_of, place_of_data
from xnn.reporting.saved import SavedRun
from xnn.runs import Settings


@pytest.fixture(autouse=True)
def fetched(monkeypatch, tmp_path):
    """An empty cache, and what was to be downloaded into it."""
    asked = []
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(xnn.data.sources, "fetch", lambda downloads, folder, report: asked.append(folder.name))
    return asked


@pytest.fixture
def stranger(finished, tmp_path):
    """A run that names a data set which is not there."""
    run = SavedRun.open(shutil.copytree(finished.directory, tmp_path / "run"))
    return dataclasses.replace(run, settings=dataclasses.replace(run.settings, dataset="cifar10"))


def test_it_is_fetched_though_the_settings_name_a_folder_that_is_gone(stranger, fetched, tmp_path):
    settings = dataclasses.replace(stranger.settings, data_dir=str(tmp_path / "gone"))
    with pytest.raises(DataError, match="cifar10"):
        contents_of(dataclasses.replace(stranger, settings=settings), download=True, on="numpy")
    assert fetched == ["cifar10"]


def test_a_folder_that_the_user_names_must_hold_the_data(stranger, tmp_path, fetched):
    with pytest.raises(DataError, match="does not hold cifar10"):
        contents_of(stranger, data_dir=tmp_path, on="numpy")
    assert fetched == []


def test_a_folder_that_the_settings_name_may_be_gone(finished, tmp_path):
    run = SavedRun.open(finished.directory)
    gone = dataclasses.replace(run, settings=dataclasses.replace(run.settings, data_dir=str(tmp_path / "gone")))
    assert "gone does not exist" in contents_of(gone, on="numpy").missing


def test_images_that_an_earlier_version_trained_on_are_not_its_test_images(of_folder):
    run = SavedRun.open(of_folder.directory)
    assert contents_of(run, on="numpy").answers.images == 4

    def earlier(description):
        return {name: value for name, value in description.items() if name != "division"}

    redescribe(of_folder.directory / "model.safetensors", earlier)
    assert "tested it on other images" in contents_of(run, on="numpy").missing


def test_torchvisions_readers_get_no_folder_that_the_settings_name():
    assert place_of_data(Settings(dataset="cifar10", data_dir="data")) == "data"
    assert place_of_data(Settings(dataset="torchvision:SVHN", data_dir="data")) is None
