"""A split on the device: sent once, shared, left where it is when it is too large, and the same batches either way."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_splits import AUGMENT, NUMPY, assert_same_batches, split_of
from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.data import AlternatingFlip, Batches, Normalization, Split, residence
from xnn.data import batches as batches_module


@pytest.fixture
def sent(monkeypatch):
    """Count what is brought to a device: the shapes of all host arrays."""
    shapes = []
    original = Backend.asarray

    def asarray(self, x, dtype=None):
        if isinstance(x, np.ndarray | list):
            shapes.append(np.shape(x))
        return original(self, x, dtype)

    monkeypatch.setattr(Backend, "asarray", asarray)
    return shapes


@pytest.fixture
def device():
    """A device that is not the host, as far as this machine has one."""
    pytest.importorskip("array_api_strict")
    return make_backend("array_api_strict:device1")


def read(batches, epoch=0, start=0):
    to_numpy = batches.backend.to_numpy
    return [(to_numpy(x, copy=True), to_numpy(labels, copy=True)) for x, labels in batches.epoch(epoch, start)]


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    shuffle=st.booleans(),
    augment=st.sampled_from([None, AUGMENT]),
    dtype=st.sampled_from(["uint8", "float32", "float64"]),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 3),
    block=st.sampled_from([1, 7, 512]),
    data=st.data(),
)
def test_batches_are_the_same_from_the_device_and_from_the_host(
    backend, count, batch_size, shuffle, augment, dtype, seed, epoch, block, data
):
    split = split_of(count, dtype)
    normalization = Normalization.of(split) if dtype == "uint8" else None
    options = {"backend": backend, "shuffle": shuffle, "seed": seed, "augment": augment, "normalization": normalization}
    resident, from_host = (Batches(split, batch_size, resident=where, **options) for where in (True, False))
    start = data.draw(st.integers(0, len(resident)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches_module, "_BLOCK", block)
        found, expected = read(resident, epoch, start), read(from_host, epoch, start)
    assert len(expected) == len(resident) - start
    assert_same_batches(found, expected)


def test_images_are_sent_once_for_all_batches_of_a_split(device, sent):
    split = split_of(1200)
    first, second = (Batches(split, 100, backend=device, seed=seed, augment=AUGMENT) for seed in (0, 0))
    assert sent == []
    read(first)
    assert sorted(sent) == [(1200,)] * 3 + [(1200, 4, 3, 2)]  # labels, first flips, order
    sent.clear()
    read(second)
    read(first, 1)
    assert sent == [(1200,)] * 2  # an order each


def test_each_seed_has_its_own_flips(device):
    split = split_of(30)
    for seed in (0, 1):
        options = {"seed": seed, "shuffle": False, "augment": AlternatingFlip()}
        assert_same_batches(*(read(Batches(split, 30, backend=backend, **options)) for backend in (device, NUMPY)))


def test_the_copy_is_a_copy(backend):
    """Of libraries that compute where NumPy does, too."""
    split = split_of(5)
    batches = Batches(split, 5, backend=backend, shuffle=False)
    expected = read(batches)
    split.images[...] = 0
    split.labels[...] = 0
    if backend.library != "numpy":
        assert_same_batches(read(batches), expected)


def test_without_a_shuffle_nothing_is_sent_after_the_first_epoch(device, sent):
    normalization = Normalization((0.5, 0.5), (0.2, 0.3))
    batches = Batches(split_of(20), 8, backend=device, shuffle=False, normalization=normalization)
    read(batches)
    sent.clear()
    read(batches, 1)
    assert sent == []


def test_a_split_and_its_copy_end_together(device):
    split = split_of(5)
    batches = Batches(split, 5, backend=device)
    read(batches)
    copy = weakref.ref(residence.device_copy(split, device))
    assert copy() is not None
    del split, batches
    gc.collect()
    assert copy() is None


def test_two_devices_have_a_copy_each(device):
    split = split_of(6)
    other = make_backend("array_api_strict:device2")
    copies = [residence.device_copy(split, backend, True) for backend in (device, other, device)]
    assert copies[0] is copies[2] is not copies[1]
    assert [copy.images.device for copy in copies] == [device.device, other.device, device.device]


def test_numpy_computes_where_the_images_are():
    assert residence.device_copy(split_of(5), NUMPY, True) is None


def with_free_memory(backend, free):
    """The same device, which says that so much is free."""
    made = backend._with_twins(backend.twins)
    made._free_memory = lambda: free
    return made


# 10 images of 4 x 3 x 2 bytes.
@pytest.mark.parametrize(
    ("free", "wanted", "unasked", "resident"),
    [
        (480, None, 0, True),
        (479, None, 10**9, False),
        (0, True, 0, True),
        (10**9, False, 10**9, False),
        (None, None, 240, True),
        (None, None, 239, False),
    ],
)
def test_a_split_too_large_for_the_device_stays_on_the_host(device, sent, monkeypatch, free, wanted, unasked, resident):
    monkeypatch.setattr(residence, "_UNASKED", unasked)
    backend, split = with_free_memory(device, free), split_of(10)
    found = read(Batches(split, 4, backend=backend, resident=wanted, augment=AUGMENT))
    assert (backend in residence._copies.get(split, {})) == resident
    expected = read(Batches(split, 4, backend=NUMPY, augment=AUGMENT))
    assert_same_batches(found, expected)


def test_a_large_mapped_file_is_not_brought_into_memory(device, tmp_path, monkeypatch):
    """1.1 GB that were never written, more than a device of unknown size takes unasked."""
    count = 360_000
    with (tmp_path / "images").open("wb") as file:
        file.truncate(count * 32 * 32 * 3)
    images = np.memmap(tmp_path / "images", np.uint8, "r", shape=(count, 32, 32, 3))
    monkeypatch.setattr(residence, "_sent", None)
    x, _ = next(Batches(Split(images, np.zeros(count, np.int64)), 8, backend=device, shuffle=False).epoch(0))
    assert x.shape == (8, 32, 32, 3)


@pytest.mark.parametrize("chunk", [1, 24, 50, 10**6])
def test_images_of_a_mapped_file_are_sent_in_pieces(backend, tmp_path, monkeypatch, sent, chunk):
    np.save(tmp_path / "images.npy", split_of(7).images)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    monkeypatch.setattr(residence, "_CHUNK", chunk)
    np.testing.assert_array_equal(backend.to_numpy(residence._sent(images, backend)), images)
    assert max(shape[0] for shape in sent) == min(max(chunk // 24, 1), 7)
    assert sum(shape[0] for shape in sent) == 7


@pytest.mark.parametrize(
    "images",
    [split_of(6).images[::-2], split_of(6, ">f4").images, np.asfortranarray(split_of(6, "float64").images)],
    ids=["backwards", "big-endian", "fortran"],
)
def test_images_in_any_layout_can_be_sent(backend, images):
    sent = residence._sent(images, backend)
    assert sent.dtype == backend.dtype(images.dtype.name)
    np.testing.assert_array_equal(backend.to_numpy(sent), images)


@pytest.mark.parametrize("shuffle", [False, True])
def test_who_writes_to_a_batch_does_not_write_to_the_copy(backend, shuffle):
    split = split_of(6, "float32")
    batches = Batches(split, 6, backend=backend, shuffle=shuffle, resident=True)
    expected = read(batches)
    for x, labels in batches.epoch(0):
        x[...] = 0.0
        labels[...] = 0
    assert_same_batches(read(batches), expected)


def test_images_without_pixels_and_of_other_types_stay_on_the_host(device):
    for images in (np.zeros((3, 0, 2, 1), np.uint8), np.zeros((3, 2, 2, 1), np.int16)):
        split = Split(images, np.arange(3))
        assert residence.device_copy(split, device) is None
        ((x, _),) = Batches(split, 4, backend=device, shuffle=False).epoch(0)
        assert x.shape == images.shape
    with pytest.raises(TypeError, match="resident images must be of uint8, float32, float64, not int16"):
        Batches(split, 4, backend=device, resident=True)
