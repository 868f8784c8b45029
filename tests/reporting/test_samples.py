"""A page shows training images as they are changed: all of the run's augmentation, and nothing else."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.reporting.reader import Reader
from xnn.data import Dataset, Split
from xnn.errors import RunError
from xnn.reporting.contents import contents_of
from xnn.reporting.page import page
from xnn.reporting.samples import MOST_IMAGES, samples
from xnn.reporting.saved import SavedRun
from xnn.runs import Settings

SHAPES = st.tuples(st.integers(1, 20), st.integers(3, 9), st.integers(3, 9), st.sampled_from([1, 3]))
IMAGES = SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, shape))


def dataset_of(images, labels=None):
    labels = np.arange(len(images)) % 3 if labels is None else np.array(labels)
    split = Split(images, labels.astype(np.int64))
    return Dataset("drawn", split, split, tuple(f"class {number}" for number in range(int(labels.max()) + 1)), "here")


def settings(*names, epochs=9, **more):
    return Settings(augment=names or None, epochs=epochs, **more)


@given(images=IMAGES, seed=st.integers(0, 9))
def test_a_flip_shows_each_image_as_it_is_or_mirrored_and_the_same_again(images, seed):
    data, chosen = dataset_of(images), settings("flip", seed=seed)
    shown, again = samples(chosen, data), samples(chosen, data)
    assert list(shown.versions) == [1, 2, 3, 4, 9]
    for epoch, version in shown.versions.items():
        assert version.dtype == np.uint8
        np.testing.assert_array_equal(version, again.versions[epoch])
        for image, changed in zip(shown.images, version, strict=True):
            assert any(np.array_equal(changed, side) for side in (image, image[:, ::-1]))


def test_another_seed_and_another_epoch_draw_anew():
    data = dataset_of(np.random.default_rng(0).integers(0, 256, (8, 9, 9, 3), np.uint8))
    one, other = (samples(settings("crop", seed=seed), data).versions for seed in (0, 1))
    assert (one[1] != other[1]).any()
    assert (one[1] != one[2]).any()


@pytest.mark.parametrize("names", [("resized-crop", "rotate", "colour"), ("alternating-flip", "shift"), ("cutout",)])
@given(images=IMAGES)
def test_a_picture_of_one_colour_stays_so_but_for_what_is_blanked(names, images):
    """Also where pixels are made anew they are pixels, from 0 to 255."""
    flat = np.broadcast_to(images[:, :1, :1], images.shape).copy()
    shown = samples(settings(*names), dataset_of(flat))
    for version in shown.versions.values():
        assert version.shape == shown.images.shape
        if names == ("cutout",):
            assert ((version == shown.images) | (version == 0)).all()
        elif "colour" in names:
            assert (version == version[:, :1, :1]).all()
        else:
            np.testing.assert_array_equal(version, shown.images)


@given(images=IMAGES, names=st.sampled_from([("mixup",), ("cutmix",), ("mixup", "cutmix")]))
def test_mixed_images_are_made_of_those_shown(images, names):
    shown = samples(settings(*names), dataset_of(images))
    assert shown.mixed
    least, most = shown.images.min(axis=0), shown.images.max(axis=0)
    for version in shown.versions.values():
        assert version.shape == shown.images.shape
        assert ((version >= least) & (version <= most)).all()
        if names == ("cutmix",):
            assert (version[:, None] == shown.images[None]).any(axis=1).all()


def test_something_is_mixed():
    images = np.random.default_rng(0).integers(0, 256, (8, 9, 9, 3), np.uint8)
    versions = samples(settings("mixup", mixup_alpha=9.0), dataset_of(images)).versions.values()
    assert all((version != images).any() for version in versions)
    assert not samples(settings("flip"), dataset_of(images)).mixed


def test_windows_are_shown_in_their_size_as_long_as_they_are_cut_out():
    images = np.random.default_rng(0).integers(0, 256, (4, 9, 8, 1), np.uint8)
    shown = samples(settings(epochs=20, window=5, window_share=0.1), dataset_of(images))
    assert [version.shape[1:3] for version in shown.versions.values()] == [(5, 5)] * 2 + [(9, 8)] * 3
    np.testing.assert_array_equal(shown.versions[20], shown.images)


@pytest.mark.parametrize("chosen", [settings(), settings("none"), settings("flip", epochs=None)])
@given(images=IMAGES)
def test_where_nothing_is_changed_the_images_are_shown_alone(chosen, images):
    shown = samples(chosen, dataset_of(images))
    assert shown.versions == {}
    assert not shown.mixed
    assert len(shown.images) == len(shown.names) == min(len(images), MOST_IMAGES)
    assert all((image == images).all(axis=(1, 2, 3)).any() for image in shown.images)


@pytest.mark.parametrize("epochs", [1, 2, 4, 5, 6, 10**6])
def test_the_first_epochs_are_shown_and_the_last(epochs):
    shown = samples(settings("crop", epochs=epochs), dataset_of(np.zeros((3, 4, 4, 1), np.uint8)))
    assert list(shown.versions) == list(range(1, min(epochs, 4) + 1)) + [epochs] * (epochs > 4)


@given(labels=st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_as_many_classes_as_there_is_room_for_are_shown(labels):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 3, 1), np.uint8)
    shown = samples(settings("flip"), dataset_of(images, labels))
    chosen = shown.images[:, 0, 0, 0].tolist()
    assert len(chosen) == len(set(chosen)) == min(len(labels), MOST_IMAGES)
    assert shown.names == tuple(f"class {labels[place]}" for place in chosen)
    assert len(set(shown.names)) == min(len(set(labels)), MOST_IMAGES)
    # Of each class the first ones.
    for label in set(labels):
        ours = [place for place in chosen if labels[place] == label]
        assert ours == [place for place, other in enumerate(labels) if other == label][: len(ours)]


@pytest.mark.parametrize("chosen", [settings("shift"), settings(window=5, window_share=0.5)])
def test_images_too_small_for_the_augmentation_are_no_images_of_the_run(chosen):
    with pytest.raises(RunError, match=r"augmentation does not fit the images of drawn: "):
        samples(chosen, dataset_of(np.zeros((3, 2, 2, 1), np.uint8)))


def with_augmentation(run, **changes):
    """The run as if it had flipped and moved its images."""
    return dataclasses.replace(run, settings=dataclasses.replace(run.settings, augment=("flip", "crop")), **changes)


def test_the_page_has_a_column_for_each_image_and_a_row_for_each_epoch(shown):
    contents = contents_of(with_augmentation(shown.run), on="numpy")
    read = Reader(page([contents]))
    assert "as they are changed in training" in read.text
    found = [image["alt"] for image in read.all("img") if image["alt"].split(", ")[-1].startswith(("as it", "epoch"))]
    assert found == [f"{label}, {row}" for row in ("as it is", "epoch 1", "epoch 2", "epoch 3") for label in range(8)]
    alone = Reader(page([shown]))
    assert "which the run does not change" in alone.text
    assert sum(image["alt"].endswith(", as it is") for image in alone.all("img")) == MOST_IMAGES


@pytest.mark.parametrize("names", [("mixup",), ("flip",)])
def test_the_page_says_whose_class_stands_above_a_mixed_image(shown, names):
    run = dataclasses.replace(shown.run, settings=dataclasses.replace(shown.run.settings, augment=names))
    text = Reader(page([contents_of(run, on="numpy")])).text
    assert ("Each is mixed with another of them" in text) == (names == ("mixup",))


def test_a_window_says_how_large_it_is(shown):
    run = dataclasses.replace(
        shown.run, settings=dataclasses.replace(shown.run.settings, epochs=4, window=6, window_share=0.5)
    )
    text = Reader(page([contents_of(run, on="numpy")])).text
    assert text.count("6x6") == 2


@pytest.mark.parametrize("there", [True, False])
def test_a_run_under_way_shows_it_too_if_its_data_is_there(finished, tmp_path, monkeypatch, there):
    config = json.loads((finished.directory / "config.json").read_text()) | {"augment": ["crop"]}
    if not there:
        monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))
        config["dataset"] = "cifar10"
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(finished.directory / "metrics.jsonl", tmp_path)
    contents = contents_of(SavedRun.open(tmp_path), on="numpy")
    text = Reader(page([contents])).text
    assert "This run is not complete" in text
    assert ("as they are changed in training" in text) == there
    assert ("The data set was not found" in text) == (not there)
    assert (contents.missing is None) == there
