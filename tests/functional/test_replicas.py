"""Replicas that compute parts of a batch get what one that computes all of it gets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.distributed.threads import Meeting
from xnn import functional as F
from xnn import kernels
from xnn.backends import backend as make_backend
from xnn.functional.replicas import Replicas, all_statistics, among
from xnn.random import Random

counts = st.integers(1, 4)


def cuts(images, replicas):
    return [(images * rank // replicas, images * (rank + 1) // replicas) for rank in range(replicas)]


def spread(replicas, images, work, local_statistics=False):
    """Return what ``work(slice)`` gives each of the replicas, for its part of the batch."""
    meeting = Meeting(replicas)

    def one(rank):
        first, last = cuts(images, replicas)[rank]
        own = Replicas(lambda x: meeting.total(rank, x), first, last - first, images, local_statistics)
        with among(own), np.errstate(all="ignore"):
            return work(slice(first, last))

    return meeting.run(one)


def functions(twins, dtype):
    backend = make_backend("numpy", twins=twins)
    if twins:
        pytest.importorskip("numba")
    return kernels.functions(backend) if dtype == "float32" else F


@pytest.mark.parametrize(("twins", "dtype"), [(False, "float64"), (False, "float32"), (True, "float32")])
@given(images=st.integers(2, 9), replicas=counts, shape=st.sampled_from([(), (3,), (2, 4)]), seed=st.integers(0, 99))
def test_batch_norm_of_parts(twins, dtype, images, replicas, shape, seed):
    random = np.random.default_rng(seed)
    x, dy = (random.normal(size=(images, *shape, 5)).astype(dtype) for _ in range(2))
    weight, bias = (random.normal(size=5).astype(dtype) for _ in range(2))
    x += 10.0
    f = functions(twins, dtype)

    def norm(own):
        statistics = f.batch_norm_statistics(x[own])
        y, pullback = f.batch_norm(x[own], weight, bias, 1e-2, statistics)
        return *statistics, y, *pullback(dy[own])

    mean, variance, y, dx, dweight, dbias = norm(slice(None))
    parts = spread(replicas, images, norm)
    bounds = {"rtol": 1e-11, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-4}
    for part in parts:
        np.testing.assert_allclose(part[0], mean, **bounds)
        np.testing.assert_allclose(part[1], variance, **bounds)
    np.testing.assert_allclose(np.concatenate([part[2] for part in parts]), y, **bounds)
    np.testing.assert_allclose(np.concatenate([part[3] for part in parts]), dx, **bounds)
    np.testing.assert_allclose(sum(part[4] for part in parts), dweight, **bounds)
    np.testing.assert_allclose(sum(part[5] for part in parts), dbias, **bounds)


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
@given(images=st.integers(1, 9), replicas=counts, shape=st.sampled_from([(), (1,), (2, 4)]), seed=st.integers(0, 99))
def test_batch_norm_of_parts_of_a_view(activation, images, replicas, shape, seed):
    """A part of it may lie in one piece for 0 or 1 images, and in several for more."""
    pytest.importorskip("numba")
    from xnn.kernels.numpy import normalization as twins

    random = np.random.default_rng(seed)
    x = random.normal(size=(images, *shape, 10)).astype(np.float32)[..., :5]
    dy = random.normal(size=x.shape).astype(np.float32)

    def norm(own):
        if activation is None:
            y, pullback = twins.batch_norm(x[own], None, None, 1e-2)
            return y, pullback(dy[own])[0]
        arguments = {"relu": (), "gelu": ("none",)}[activation]
        fused = getattr(twins, f"batch_norm_{activation}")(x[own], (None, None, 1e-2, None), arguments)
        if fused is None:
            y, normal = twins.batch_norm(x[own], None, None, 1e-2)
            z, bent = getattr(F, activation)(y, *arguments)
            return z, normal(bent(dy[own]))[0]
        y, pullback = fused
        return y, pullback(dy[own])[0]

    whole, parts = norm(slice(None)), spread(replicas, images, norm)
    for number in range(2):
        found = np.concatenate([part[number] for part in parts])
        np.testing.assert_allclose(found, whole[number], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("twins", "dtype"), [(False, "float64"), (True, "float32")])
@given(images=st.integers(1, 9), replicas=counts, shape=st.sampled_from([(), (2, 4)]), seed=st.integers(0, 99))
def test_with_local_statistics_each_part_is_a_batch_of_its_own(twins, dtype, images, replicas, shape, seed):
    random = np.random.default_rng(seed)
    x, dy = (random.normal(size=(images, *shape, 5)).astype(dtype) for _ in range(2))
    f = functions(twins, dtype)

    def norm(own):
        statistics = f.batch_norm_statistics(x[own])
        y, pullback = f.batch_norm(x[own], None, None, 1e-2, statistics)
        return *statistics, y, pullback(dy[own])[0]

    tolerance = {"rtol": 1e-11, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-5}
    for part, (first, last) in zip(spread(replicas, images, norm, True), cuts(images, replicas), strict=True):
        if first == last:
            assert [each.shape for each in part] == [(5,), (5,), (0, *shape, 5), (0, *shape, 5)]
            assert not np.any(part[:2])
        else:
            for found, expected in zip(part, norm(slice(first, last)), strict=True):
                np.testing.assert_allclose(found, expected, **tolerance)


def test_all_statistics_are_taken_where_they_have_to_be():
    x = np.random.default_rng(0).normal(size=(6, 3))

    def work(own):
        with all_statistics():
            return F.batch_norm_statistics(x[own])

    for mean, variance in spread(2, 6, work, local_statistics=True):
        np.testing.assert_allclose(mean, x.mean(axis=0))
        np.testing.assert_allclose(variance, x.var(axis=0))
    np.testing.assert_allclose(work(slice(0, 3))[0], x[:3].mean(axis=0))


@pytest.mark.parametrize("twins", [False, True])
@given(
    images=st.integers(1, 9), replicas=counts, smoothing=st.sampled_from([0.0, 0.1]), weighted=st.booleans(),
    view=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_loss_of_parts(twins, images, replicas, smoothing, weighted, view, seed):
    random = np.random.default_rng(seed)
    dtype = "float32" if twins else "float64"
    logits = random.normal(size=(images, 8 if view else 4)).astype(dtype)[:, :4]
    labels = random.integers(0, 4, images)
    weights = (random.random(4).astype(dtype), random.random(images).astype(dtype)) if weighted else (None, None)
    f = functions(twins, dtype)

    def loss(own):
        classes, samples = weights
        value, pullback = f.softmax_cross_entropy(
            logits[own], labels[own], smoothing, classes, None if samples is None else samples[own]
        )
        return value, pullback(2.0)

    value, dlogits = loss(slice(None))
    parts = spread(replicas, images, loss)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if twins else {"rtol": 1e-12}
    for part in parts:
        np.testing.assert_allclose(part[0], value, **tolerance)
    np.testing.assert_allclose(np.concatenate([part[1] for part in parts]), dlogits, **tolerance)


def test_all_parts_have_the_same_loss_to_the_bit():
    """Also one without an image."""
    f = functions(True, "float32")
    for seed in range(20):
        random = np.random.default_rng(seed)
        logits, labels = random.normal(size=(3, 4)).astype(np.float32), random.integers(0, 4, 3)

        def loss(own, logits=logits, labels=labels):
            return f.softmax_cross_entropy(logits[own], labels[own])[0]

        whole, losses = loss(slice(None)), spread(4, 3, loss)
        assert {each.dtype for each in losses} == {whole.dtype}
        assert len({float(each) for each in losses}) == 1


@pytest.mark.parametrize("name", ["mse", "huber", "binary_cross_entropy_with_logits"])
@given(images=st.integers(1, 9), replicas=counts, weighted=st.booleans(), seed=st.integers(0, 99))
def test_other_losses_of_parts(name, images, replicas, weighted, seed):
    random = np.random.default_rng(seed)
    prediction, target = random.normal(size=(images, 3)), random.random((images, 3))
    weight = random.random(images) if weighted else None

    def loss(own):
        value, pullback = getattr(F, name)(
            prediction[own], target[own], sample_weight=None if weight is None else weight[own]
        )
        return value, pullback()

    value, gradient = loss(slice(None))
    parts = spread(replicas, images, loss)
    for part in parts:
        np.testing.assert_allclose(part[0], value, rtol=1e-12)
    np.testing.assert_allclose(np.concatenate([part[1] for part in parts]), gradient, rtol=1e-12)


@pytest.mark.parametrize("twins", [False, True])
@given(images=st.integers(0, 9), replicas=counts, shape=st.sampled_from([(), (3,), (2, 4)]))
def test_dropout_of_parts_draws_the_same_mask(twins, images, replicas, shape):
    backend = make_backend("numpy", twins=twins)
    f, x = functions(twins, "float32"), np.ones((images, *shape, 5), np.float32)

    def drop(own):
        y, pullback = f.dropout(x[own], 0.5, Random(backend, 1, "test"))
        return y, pullback(x[own])

    whole = drop(slice(None))
    parts = spread(replicas, images, drop)
    for number in range(2):
        np.testing.assert_array_equal(np.concatenate([part[number] for part in parts]), whole[number])


def test_an_empty_batch_is_still_refused():
    with pytest.raises(ValueError, match="empty batch"):
        F.batch_norm_statistics(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="empty batch"):
        F.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, np.int64))
