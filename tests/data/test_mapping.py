"""A large mapped file that is shuffled is not read ahead; Linux shows it as ``rr`` among a mapping's flags."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import xnn
from xnn.data import Batches, Split, mapping

COUNT, SHAPE = 40, (8, 8, 3)
VIEWS = {
    "all": lambda images: images,
    "a plain array": np.asarray,
    "a part": lambda images: images[5:25],
    "a buffer": lambda images: np.frombuffer(images.base, np.uint8)[: 10 * 192].reshape(10, *SHAPE),
}


@pytest.fixture
def images(tmp_path):
    np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), np.uint8).tofile(tmp_path / "images")
    return np.memmap(tmp_path / "images", np.uint8, "r", shape=(COUNT, *SHAPE))


def is_read_ahead(images):
    lines = Path("/proc/self/smaps").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith(str(images.filename)))
    flags = next(line for line in lines[start:] if line.startswith("VmFlags:"))
    return not re.search(r"\brr\b", flags)


def batches(images, shuffle):
    return Batches(Split(images, np.arange(len(images))), 3, backend=xnn.backend("numpy"), shuffle=shuffle)


def read(images, shuffle):
    return {int(n): x for xs, labels in batches(images, shuffle).epoch(0) for x, n in zip(xs, labels, strict=True)}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("share", "pages", "expected"), [(0.0, 4, False), (1.0, 4, True), (0.0, 0.01, True)])
def test_large_files_of_small_images_are_read_as_asked_for_while_they_are_shuffled(
    images, monkeypatch, view, share, pages, expected
):
    monkeypatch.setattr(mapping, "_SHARE", share)
    monkeypatch.setattr(mapping, "_PAGES", pages)
    part = VIEWS[view](images)
    assert is_read_ahead(images)
    for shuffle in (True, False, True):
        for n, image in read(part, shuffle).items():
            np.testing.assert_array_equal(image, part[n])
        assert is_read_ahead(images) == (expected or not shuffle)


def test_arrays_in_memory_and_systems_that_take_no_advice_are_left_alone(images, monkeypatch):
    monkeypatch.setattr(mapping, "_SHARE", 0.0)
    for array in (np.zeros(3), np.zeros((3, 4))[1:].T, np.frombuffer(bytes(8), np.uint8)):
        mapping.expect_order(array, random=True)
    monkeypatch.setattr(mapping.mmap, "MADV_RANDOM", -1, raising=False)
    assert len(read(images, shuffle=True)) == COUNT
    monkeypatch.delattr(mapping.mmap, "MADV_RANDOM")
    assert len(read(images, shuffle=True)) == COUNT
