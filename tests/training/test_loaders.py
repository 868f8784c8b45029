"""Pairs of arrays as batches: each example once an epoch, in an order that the seed and the epoch say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import nn
from xnn.backends import backend as make_backend
from xnn.errors import DataError
from xnn.training.loaders import ArrayBatches, loader_of, what_is_not_finite


def make(backend, images, batch_size, **options):
    """Examples whose label is their number, and whose only pixel is its double."""
    labels = np.arange(images)
    return ArrayBatches(2.0 * labels[:, None], labels, batch_size, backend=backend, dtype="float64", **options)


def on_host(batches, epoch, start=0):
    backend = batches._backend
    return [(backend.to_numpy(x), backend.to_numpy(labels)) for x, labels in batches.epoch(epoch, start)]


@given(
    images=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    epoch=st.integers(0, 5),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_each_example_comes_once_an_epoch_with_its_label(backend, images, batch_size, epoch, shuffle, seed, data):
    batches = make(backend, images, batch_size, shuffle=shuffle, seed=seed)
    found = on_host(batches, epoch)
    x, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    np.testing.assert_array_equal(np.sort(labels), np.arange(images))
    np.testing.assert_array_equal(x[:, 0], 2.0 * labels)
    assert shuffle or labels.tolist() == list(range(images))
    assert len(found) == len(batches)
    assert all(len(part) == batch_size for _, part in found[:-1])
    start = data.draw(st.integers(0, len(batches)))
    rest = on_host(batches, epoch, start)
    assert [part.tolist() for _, part in rest] == [part.tolist() for _, part in found[start:]]


def test_the_order_depends_on_seed_and_epoch_alone():
    backend = make_backend("numpy")
    orders = {}
    for seed in (0, 1):
        for epoch in (0, 1):
            first, second = (
                np.concatenate([labels for _, labels in on_host(make(backend, 50, size, seed=seed), epoch)]).tolist()
                for size in (1, 8)
            )
            assert first == second
            orders[seed, epoch] = tuple(first)
    assert len(set(orders.values())) == 4


def test_the_arrays_that_came_stay(backend):
    x, labels = np.ones((6, 2)), np.zeros(6, int)
    for array in (x, labels):
        array.flags.writeable = False
    for batch, _ in ArrayBatches(x, labels, 4, backend=backend, dtype="float64", seed=1).epoch(0):
        batch[...] = 0.0
    np.testing.assert_array_equal(x, 1.0)


@given(spoilt=st.sets(st.integers(0, 39), max_size=3), value=st.sampled_from([np.nan, np.inf, -np.inf]), data=st.data())
def test_the_first_example_that_is_not_finite_is_found(backend, spoilt, value, data):
    x, targets = np.ones((40, 2, 3)), np.zeros((40, 2))
    for example in spoilt:
        data.draw(st.sampled_from([x, targets]))[example, 1] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xnn.training.loaders._LOOKED_AT", data.draw(st.integers(1, 50)))
        batches = ArrayBatches(x, targets, 4, backend=backend, dtype="float64")
        assert batches.first_not_finite() == min(spoilt, default=None)
    expected = f"the test data holds NaN or infinity, first in example {min(spoilt)} (from 0)" if spoilt else None
    assert what_is_not_finite(batches, "test") == expected


def test_class_indices_are_finite_and_other_loaders_are_not_looked_at(backend):
    batches = make(backend, 5, 2)
    assert batches.first_not_finite() is None
    assert what_is_not_finite(object(), "test") is None


@pytest.mark.parametrize("labels", [np.zeros(6), np.zeros((6, 3)), np.zeros((6, 1), int)])
def test_targets_that_are_no_class_indices_are_left_to_the_loss(labels):
    ArrayBatches(np.ones((6, 2)), labels, 4, backend=make_backend("numpy"), classes=3)


@pytest.mark.parametrize(
    "labels",
    [[0, 1, 2, 1], np.array([0, 1, 2, 1], ">i4"), np.array([0, 1, 2, 1], np.uint64), np.array([0.0, 1, 2, 1])],
    ids=["list", "big-endian", "unsigned", "floats"],
)
def test_labels_of_any_whole_numbers_are_taken(backend, labels):
    model = nn.Sequential(nn.Linear(3)).build((2,), backend=backend, seed=0)
    data = [[0.0, 1.0]] * 4, labels
    loader = loader_of(data, 4, shuffle=False, model=model, loss=nn.SoftmaxCrossEntropy())
    ((x, found),) = loader.epoch(0)
    assert backend.to_numpy(x).tolist() == [[0.0, 1.0]] * 4
    assert backend.to_numpy(found).tolist() == [0, 1, 2, 1]


def test_labels_that_are_names_are_refused():
    model = nn.Sequential(nn.Linear(3)).build((2,), backend=make_backend("numpy"), seed=0)
    data = np.zeros((2, 2)), ["cat", "dog"]
    with pytest.raises(DataError, match=r"but 'cat' is not; numpy.unique"):
        loader_of(data, 4, shuffle=False, model=model, loss=nn.SoftmaxCrossEntropy())
