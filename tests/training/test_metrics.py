"""Losses and accuracies are sums over images, whatever the batches and the moments they are read at."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xnn.backends import backend as make_backend
from xnn.training import metrics
from xnn.training.metrics import Meter, Metrics, Sums, ranks


def batches_of(seed, sizes, classes):
    random = np.random.default_rng(seed)
    for size in sizes:
        logits = random.integers(-3, 4, (size, classes)).astype("float64")
        yield random.standard_normal(), logits, random.integers(0, classes, size)


@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    classes=st.integers(1, 9),
    flushes=st.sets(st.integers(0, 7)),
)
# The fewest classes that have a top 5 worth counting, and the most that have none.
@example(seed=0, sizes=[6, 6], classes=6, flushes=set())
@example(seed=0, sizes=[6, 6], classes=5, flushes=set())
def test_sums_are_those_of_all_images_whenever_they_are_read(seed, sizes, classes, flushes):
    backend = make_backend("numpy")
    meter, sums, at_once = Meter(backend, top5=True), Sums(), Sums()
    hits = fives = 0
    expected = 0.0
    for number, (loss, logits, labels) in enumerate(batches_of(seed, sizes, classes)):
        meter.add(np.asarray(loss), logits, labels)
        expected += loss * len(labels)
        order = np.argsort(-logits, axis=1, kind="stable")
        hits += int(np.sum(order[:, 0] == labels))
        fives += int(np.sum(order[:, :5] == labels[:, None]))
        if number in flushes:
            meter.flush(sums)
    meter.flush(sums)
    assert (sums.loss, sums.images, sums.correct) == (expected, sum(sizes), hits)
    assert sums.top5 == (fives if classes > 5 else None)
    n = sum(sizes)
    assert sums.metrics() == Metrics(expected / n, hits / n, fives / n if classes > 5 else None, n)

    whole = Meter(backend, top5=True)
    for batch in batches_of(seed, sizes, classes):
        whole.add(*batch)
    whole.flush(at_once)
    assert at_once == sums


@given(seed=st.integers(0, 2**32), images=st.integers(1, 5), classes=st.integers(1, 8))
def test_rank_is_the_place_in_a_stable_sort(backend, seed, images, classes):
    random = np.random.default_rng(seed)
    logits = random.integers(-2, 3, (images, classes)).astype("float32")
    labels = random.integers(0, classes, images)
    order = np.argsort(-logits, axis=1, kind="stable")
    expected = np.argmax(order == labels[:, None], axis=1)
    found = ranks(backend.xp, backend.asarray(logits), backend.asarray(labels, "int64"))
    np.testing.assert_array_equal(backend.to_numpy(found), expected)
    assert found.dtype == backend.dtype("int64")


@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4), top5=st.booleans())
def test_a_second_device_counts_the_same(seed, sizes, top5):
    pytest.importorskip("array_api_strict")
    found = []
    for backend in map(make_backend, ("numpy", "array_api_strict:device1")):
        meter, sums = Meter(backend, top5=top5), Sums()
        for loss, logits, labels in batches_of(seed, sizes, 7):
            meter.add(*(backend.asarray(np.asarray(array)) for array in (loss, logits, labels.astype("int32"))))
        meter.flush(sums)
        found.append(sums)
    assert found[0] == found[1]


@pytest.mark.parametrize(("value", "top5", "expected"), [(0.0, False, (1, None)), (np.nan, True, (0, 0))])
def test_the_five_largest_are_counted_when_asked_to_and_nan_is_no_hit(value, top5, expected):
    meter, sums = Meter(make_backend("numpy"), top5=top5), Sums()
    meter.add(np.asarray(1.0), np.full((2, 7), value), np.array([0, 3]))
    meter.flush(sums)
    assert (sums.correct, sums.top5) == expected


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3))),
        (np.zeros((2, 3)), np.zeros(2)),
        (np.zeros((2, 3)), np.zeros((2, 3), dtype=int)),
        (np.zeros(2), np.zeros(2, dtype=int)),
    ],
)
def test_targets_that_are_no_classes_have_no_accuracy(logits, targets):
    meter, sums = Meter(make_backend("numpy")), Sums()
    meter.add(np.asarray(1.0), logits, targets)
    meter.flush(sums)
    assert sums.metrics().accuracy is None
    assert sums.metrics().loss == 1.0


@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4), top5=st.booleans())
def test_a_distribution_stands_for_its_likeliest_class(backend, seed, sizes, top5):
    random, found = np.random.default_rng(seed), []
    batches = list(batches_of(seed, sizes, 7))
    for soften in (False, True):
        meter, sums = Meter(backend, top5=top5, distributions=soften), Sums()
        for loss, logits, labels in batches:
            # More than half of each row is the label's.
            targets = 0.51 * np.eye(7)[labels] + 0.49 * random.dirichlet(np.ones(7), len(labels)) if soften else labels
            meter.add(*(backend.asarray(np.asarray(each)) for each in (loss, logits, targets)))
        meter.flush(sums)
        found.append(sums)
    assert found[0] == found[1]
    assert found[0].correct is not None


def test_the_meter_asks_for_a_flush_before_memory_grows():
    meter = Meter(make_backend("numpy"))
    labels = np.zeros(5000, dtype="int64")
    answers = [meter.add(np.asarray(0.0), np.zeros((5000, 2)), labels) for _ in range(4)]
    assert answers == [False, False, False, True]
    most = np.zeros(2**14, dtype="int64")
    assert not Meter(make_backend("numpy")).add(np.asarray(0.0), np.zeros((len(most), 2)), most)


@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8), most=st.integers(0, 20))
@example(seed=0, sizes=[2, 2, 2, 2, 2], most=3)
def test_a_device_lets_go_of_logits_without_being_read(backend, seed, sizes, most):
    """Nothing but a flush gives numbers to the host, so this holds on every library but NumPy, which asks for one."""
    sums, expected = Sums(), Sums()
    meter, undisturbed = Meter(backend, top5=True), Meter(make_backend("numpy"), top5=True)
    for batch in batches_of(seed, sizes, 7):
        undisturbed.add(*map(np.asarray, batch))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(metrics, "_MOST_PENDING", most)
            patch.setattr(type(backend), "to_numpy", None)
            before = meter._images
            is_full = meter.add(*(backend.asarray(np.asarray(array)) for array in batch))
        assert is_full == (backend.library == "numpy" and before + len(batch[-1]) > most)
        assert backend.library == "numpy" or meter._images <= most
    losses = meter.flush(sums)
    assert losses == undisturbed.flush(expected)
    assert sums == expected
    assert meter.flush(sums) == []
