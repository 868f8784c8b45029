import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.small_splits import AUGMENT, NUMPY, assert_same_batches, split_of
from xnn.backends import backend as make_backend
from xnn.data import AlternatingFlip, Batches, HorizontalFlip, Normalization, RandomCrop, Split, batches
from xnn.errors import SettingError


def numbers(found, backend):
    """Return the labels of an epoch in order; in `split_of` a label is the image's number."""
    return [int(label) for _, labels in found for label in backend.to_numpy(labels)]


settings = st.builds(
    dict, batch_size=st.integers(1, 50), shuffle=st.booleans(), seed=st.integers(0, 2**32), drop_last=st.booleans()
)
blocks = st.sampled_from([1, 7, 16, 512])


def make(count, chosen, backend, **options):
    drop_last = chosen["drop_last"] and chosen["batch_size"] <= count
    return Batches(split_of(count), backend=backend, **{**chosen, "drop_last": drop_last}, **options)


@given(count=st.integers(1, 60), chosen=settings, epoch=st.integers(0, 5), block=blocks)
def test_each_image_comes_once_an_epoch(count, chosen, epoch, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_BLOCK", block)
        data = make(count, chosen, NUMPY)
        found = list(data.epoch(epoch))
    order = numbers(found, NUMPY)
    assert len(order) == len(set(order)) == data.images
    assert len(found) == len(data)
    size = data.batch_size
    assert [len(labels) for _, labels in found[:-1]] == [size] * (len(data) - 1)
    if data.drop_last:
        assert len(found[-1][1]) == size
        assert count - data.images < size
    else:
        assert data.images == count
    if not data.shuffle:
        assert order == list(range(data.images))
    for x, labels in found:
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x, data.split.images[labels])


@given(count=st.integers(1, 60), chosen=settings, epoch=st.integers(0, 5), block=blocks, data=st.data())
def test_starting_later_gives_the_same_batches(count, chosen, epoch, block, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_BLOCK", block)
        made = make(count, chosen, NUMPY, augment=AUGMENT)
        start = data.draw(st.integers(0, len(made)))
        whole, rest = list(made.epoch(epoch)), list(made.epoch(epoch, start))
    assert_same_batches(rest, whole[start:])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_give_the_same_numbers(backend, dtype):
    split = split_of(70)
    options = {"normalization": Normalization.of(split), "augment": AUGMENT, "dtype": dtype, "seed": 3}
    found = list(Batches(split, 16, backend=backend, **options).epoch(2))
    expected = list(Batches(split, 16, backend=NUMPY, **options).epoch(2))
    for (x, labels), (expected_x, expected_labels) in zip(found, expected, strict=True):
        assert x.dtype == backend.dtype(dtype)
        assert labels.dtype == backend.dtype("int64")
        np.testing.assert_array_equal(backend.to_numpy(x), expected_x)
        np.testing.assert_array_equal(backend.to_numpy(labels), expected_labels)


@pytest.mark.parametrize("device", ["device1", "device2"])
@pytest.mark.parametrize("augment", [None, AUGMENT, RandomCrop(1)], ids=["plain", "augmented", "cropped"])
def test_batches_are_made_on_a_second_device(device, augment):
    """array-api-strict refuses to mix devices, so nothing on the way may have been made on the first."""
    pytest.importorskip("array_api_strict")
    backend = make_backend(f"array_api_strict:{device}")
    split = split_of(20)
    options = {"normalization": Normalization.of(split), "augment": augment, "seed": 3}
    expected = Batches(split, 8, backend=NUMPY, **options).epoch(1)
    for batch, expected_batch in zip(Batches(split, 8, backend=backend, **options).epoch(1), expected, strict=True):
        for found, wanted in zip(batch, expected_batch, strict=True):
            assert found.device == backend.device
            np.testing.assert_array_equal(backend.to_numpy(found), wanted)


def test_the_order_depends_on_seed_and_epoch_alone():
    orders = {}
    for seed in (0, 1):
        for epoch in (0, 1):
            made = [Batches(split_of(50), size, backend=NUMPY, seed=seed) for size in (1, 8)]
            first, second = (numbers(data.epoch(epoch), NUMPY) for data in made)
            assert first == second
            orders[seed, epoch] = tuple(first)
    assert len(set(orders.values())) == 4


def test_each_epoch_is_augmented_anew():
    data = Batches(split_of(50), 50, backend=NUMPY, shuffle=False, augment=AUGMENT)
    (first,), (again,), (second,) = ([x for x, _ in data.epoch(epoch)] for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("numbers", "sizes"), [(2**23, {30}), (24 * 7, {6}), (1, {3})])
def test_of_large_images_fewer_are_prepared_at_once(monkeypatch, numbers, sizes):
    seen = set()

    def watch(x, random):
        seen.add(x.shape[0])
        return x

    monkeypatch.setattr(batches, "_BLOCK_NUMBERS", numbers)
    list(batches.Batches(split_of(30), 3, backend=NUMPY, augment=watch).epoch(0))
    assert seen == sizes


@given(batch_size=st.integers(1, 20), seed=st.integers(0, 2**32), block=blocks)
def test_alternating_flips_follow_the_images_through_shuffles_and_batches(batch_size, seed, block):
    split = split_of(20)
    data = Batches(split, batch_size, backend=NUMPY, seed=seed, augment=AlternatingFlip())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_BLOCK", block)
        epochs = [{int(n): x for xs, labels in data.epoch(e) for x, n in zip(xs, labels, strict=True)} for e in (0, 1)]
    for number, image in enumerate(split.images):
        pair = [epoch[number] for epoch in epochs]
        mirrored = AlternatingFlip().of(np.array([number]), seed, 0).which[0]
        np.testing.assert_array_equal(pair[mirrored], image)
        np.testing.assert_array_equal(pair[1 - mirrored], image[:, ::-1])


def test_mapped_images_are_not_touched(tmp_path):
    np.save(tmp_path / "images.npy", split_of(10).images)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    split = Split(images, split_of(10).labels)
    for shuffle in (False, True):
        for x, _ in Batches(split, 4, backend=NUMPY, dtype="float64", shuffle=shuffle).epoch(0):
            x[...] = 0
    np.testing.assert_array_equal(images, split_of(10).images)


def test_images_of_floats_are_not_normalised(backend):
    images = np.random.default_rng(0).normal(size=(5, 2, 2, 1))
    split = Split(images, np.arange(5))
    ((x, _),) = Batches(split, 8, backend=backend, shuffle=False, dtype="float64", augment=HorizontalFlip()).epoch(0)
    assert set(backend.to_numpy(x).ravel()) == set(images.ravel())
    with pytest.raises(TypeError, match=r"uint8 images, not float64"):
        Batches(split, 8, backend=backend, normalization=Normalization((0.0,), (1.0,)))


def test_impossible_settings_are_refused():
    for size in (0, -3):
        with pytest.raises(SettingError, match=f"batch size must be at least 1, not {size}"):
            Batches(split_of(5), size, backend=NUMPY)
    with pytest.raises(SettingError, match=r"batch size of 6 leaves no whole batch of 5 images"):
        Batches(split_of(5), 6, backend=NUMPY, drop_last=True)
    data = Batches(split_of(5), 2, backend=NUMPY)
    for epoch, start in ((-1, 0), (0, -1), (0, 4)):
        with pytest.raises(ValueError, match=f"no batch {start} of epoch {epoch}"):
            data.epoch(epoch, start)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("image", [0, 511, 512, 1299])
def test_the_first_image_that_is_not_finite_is_found(kind, value, image):
    images = np.zeros((1300, 2, 2, 1), kind)
    batches = Batches(Split(images, np.zeros(1300, int)), 10, backend=NUMPY)
    assert batches.first_not_finite() is None
    images[image:, 1, 0] = value
    assert batches.first_not_finite() == image


def test_what_the_type_of_a_batch_cannot_hold_is_found():
    split = Split(np.array([[1.0], [-1e300]]), [0, 1])
    backend = NUMPY
    assert Batches(split, 1, backend=backend, dtype="float32").first_not_finite() == 1
    assert Batches(split, 1, backend=backend, dtype="float64").first_not_finite() is None
    assert Batches(Split(np.zeros((2, 3), np.uint8), [0, 1]), 1, backend=backend).first_not_finite() is None


def test_images_of_another_byte_order_are_taken(backend):
    images = np.arange(8.0).reshape(2, 2, 2, 1)
    for kind in (">f4", ">f8", ">i2"):
        batches = Batches(Split(images.astype(kind), [0, 1]), 2, backend=backend, shuffle=False)
        ((x, _),) = batches.epoch(0)
        np.testing.assert_array_equal(backend.to_numpy(x), images)


def test_they_say_what_they_hold():
    split = Split(np.zeros((50, 8, 6, 1), np.uint8), np.arange(50) % 10)
    shuffled = Batches(split, 16, backend=NUMPY)
    assert repr(shuffled) == (
        "Batches(4 batches of 16, shuffled, float32 on numpy, from Split(50 images of 8x6x1, uint8, 10 classes))"
    )
    whole = Batches(split, 1000, backend=NUMPY, shuffle=False, dtype="float64")
    assert repr(whole).startswith("Batches(1 batch of 1,000, in order, float64 on numpy, from ")
