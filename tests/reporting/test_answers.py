"""Many pictures get the answers that each gets alone, whatever stands between them."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.data import load
from xnn.data.png import png
from xnn.errors import DataError
from xnn.reporting import answers as module
from xnn.reporting.answers import answers, pictures_named
from xnn.reporting.evaluation import probabilities
from xnn.reporting.saved import load_model


@pytest.fixture(scope="module")
def saved(finished):
    return load_model(finished.directory, "numpy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five pictures and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(5):
        (folder / f"{number}.png").write_bytes(png(load("digits").test.images[number]))
    (folder / "5.png").write_bytes(b"no picture")
    return folder


@given(chosen=st.lists(st.integers(0, 5), max_size=9), size=st.integers(1, 4), top=st.integers(1, 12))
def test_each_picture_gets_its_own_answer(saved, folder, chosen, size, top):
    refused = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST_IN_BATCH", size)
        paths = [str(folder / f"{number}.png") for number in chosen]
        batches = list(answers(saved, paths, top, lambda path, error: refused.append(path)))
    assert max(map(len, batches), default=0) <= size
    found = [answer for batch in batches for answer in batch]
    sound = [number for number in chosen if number != 5]
    assert [answer.image for answer in found] == [str(folder / f"{number}.png") for number in sound]
    assert refused == [str(folder / "5.png")] * (len(chosen) - len(sound))
    for number, answer in zip(sound, found, strict=True):
        row = probabilities(saved, load("digits").test.images[number][None])[0]
        assert [p for _, p in answer.top] == pytest.approx(sorted(row, reverse=True)[:top], rel=1e-4, abs=1e-6)
        assert answer.top[0][0] == int(np.argmax(row))


def test_large_images_go_in_small_batches(saved, folder, monkeypatch):
    monkeypatch.setattr(module, "_MOST_NUMBERS", 2 * 8 * 8)
    batches = answers(saved, [str(folder / "0.png")] * 5, 1, pytest.fail)
    assert [len(batch) for batch in batches] == [2, 2, 1]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root, and Windows, may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    closed = tmp_path / "a" / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0)
    refused = []
    try:
        assert not list(pictures_named([str(tmp_path / "a")], lambda path, error: refused.append((path, str(error)))))
    finally:
        closed.chmod(0o700)
    assert refused == [(str(closed), f"{closed}: cannot be read: Permission denied")]


def test_a_folder_without_a_picture_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="there is no picture in this folder"):
        list(pictures_named([str(tmp_path)], lambda path, error: (_ for _ in ()).throw(error)))
