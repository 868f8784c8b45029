"""Gradients of all ranks, added up while the backward pass goes on."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.distributed.threads import worlds
from xnn import nn
from xnn.distributed import gradients as module
from xnn.distributed.gradients import GradientSum


def network(frozen=(), backend="numpy"):
    model = nn.Sequential(
        nn.Conv2d(3, 3), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(6), nn.Tanh(), nn.Linear(2)
    ).build((5, 4, 2), backend=backend, seed=3, dtype="float64")
    for name in frozen:
        model.freeze(name)
    return model


def own_gradients(model, rank, images=4):
    x = np.random.default_rng(rank).normal(size=(images, 5, 4, 2))
    y, pullback = model.forward(model.backend.asarray(x), train=True)
    return pullback, model.backend.xp.ones_like(y)


@pytest.mark.parametrize("images", [1, 4])
@given(
    size=st.integers(1, 4), bucket=st.integers(1, 400),
    frozen=st.sampled_from([(), ("0",), ("4.weight",), ("1", "6.bias")]),
)  # fmt: skip
def test_gradients_become_the_sum_of_all_ranks(images, size, bucket, frozen):
    expected = 0.0
    for rank in range(size):
        model = network(frozen)
        pullback, dy = own_gradients(model, rank, images)
        pullback(dy, input_gradient=False)
        expected = expected + model.gradients.flat

    def work(world):
        model = network(frozen)
        summed = GradientSum(world, model)
        for _ in range(2):
            pullback, dy = own_gradients(model, world.rank, images)
            summed.begin()
            pullback(dy, input_gradient=False)
            summed.finish()
        return model.gradients.flat.copy()

    with mock.patch.object(module, "_BUCKET", bucket):
        for found in worlds(size, work):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bucket", [1, 100, 2**18])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_owners_alone_get_the_sum_of_what_they_own_and_all_get_the_rest(backend, size, bucket):
    owned = ["0.weight", "4.weight"]

    def work(world, whole):
        model = network(backend=backend)
        starts = model.parameters.starts
        owners = {starts[name]: number % size for number, name in enumerate(owned)}
        summed = GradientSum(world, model, owners)
        pullback, dy = own_gradients(model, world.rank)
        summed.begin(whole)
        pullback(dy, input_gradient=False)
        summed.finish()
        return {name: backend.to_numpy(gradient, copy=True) for name, gradient in model.gradients.items()}

    with mock.patch.object(module, "_BUCKET", bucket):
        short = worlds(size, lambda world: work(world, False))
        whole = worlds(size, lambda world: work(world, True))
    for rank in range(size):
        for name, gradient in whole[0].items():
            np.testing.assert_array_equal(whole[rank][name], gradient)
            if name not in owned or owned.index(name) % size == rank:
                np.testing.assert_array_equal(short[rank][name], gradient)
            else:
                assert np.any(short[rank][name] != gradient)


@given(size=st.integers(2, 5), owner=st.integers(0, 4), bucket=st.sampled_from([1, 2**18]))
def test_no_owner_gets_much_more_than_a_ring_would_bring(size, owner, bucket):
    """Nor does any rank send more than it would to the owner directly."""
    found = {}

    def work(world):
        model = network()
        owners = {start: owner % size for name, start in model.parameters.starts.items() if name.endswith("weight")}
        summed, moved, exchanged = GradientSum(world, model, owners), [], world.exchanged

        def counted(vector, lengths, channel):
            own = lengths[world.rank] * vector.itemsize
            moved.append((own * (size - 1), vector.nbytes - own))
            return exchanged(vector, lengths, channel)

        pullback, dy = own_gradients(model, world.rank)
        summed.begin(False)
        # What nobody owns does not count.
        unowned = mock.patch.object(world, "add_up")
        with unowned, mock.patch.object(world, "exchanged", counted):
            pullback(dy, input_gradient=False)
            summed.finish()
        owned = sum(model.gradients[name].nbytes for name, start in model.parameters.starts.items() if start in owners)
        found[world.rank] = [sum(each) / owned for each in zip(*moved, strict=True)]

    with mock.patch.object(module, "_BUCKET", bucket):
        worlds(size, work)
    for received, sent in found.values():
        assert received <= 2 * (size - 1) / size + 0.1
        assert sent <= 1.1


def test_a_bucket_is_sent_before_the_pass_ends():
    sent = []

    def work(world):
        model = network()
        summed = GradientSum(world, model)
        pullback, dy = own_gradients(model, world.rank)
        summed.begin()
        last = model.layers[0].weight
        with mock.patch.object(last, "take", side_effect=lambda gradient: sent.append(len(summed._sums))):
            pullback(dy, input_gradient=False)
        summed.finish()

    with mock.patch.object(module, "_BUCKET", 1):
        worlds(2, work)
    assert min(sent) >= 4


def test_what_goes_wrong_while_adding_up_is_raised():
    def work(world):
        model = network()
        summed = GradientSum(world, model)
        pullback, dy = own_gradients(model, world.rank)
        summed.begin()
        with mock.patch.object(world, "sum", side_effect=OSError("the wire is cut")):
            pullback(dy, input_gradient=False)
            with pytest.raises(OSError, match="the wire is cut"):
                summed.finish()

    worlds(2, work)


class Skip(nn.Layer):
    """A layer that training may pass over, as when layers are dropped at random."""

    def __init__(self, inner):
        self.inner, self.skips = inner, False

    def initialize(self, shape):
        return self.child("inner", self.inner, shape)

    def forward(self, x, train=False):
        if self.skips:
            return x, lambda dy, input_gradient=True: dy if input_gradient else None
        return self.inner.forward(x, train=train)


def skipping():
    layers = [nn.Linear(6), Skip(nn.Linear(6)), nn.Tanh(), Skip(nn.Linear(6)), nn.Linear(2)]
    return nn.Sequential(*layers).build((4,), backend="numpy", seed=3, dtype="float64")


@pytest.mark.parametrize("owned", [[], ["1.inner.weight", "4.weight"]])
@given(bucket=st.integers(1, 200), passes=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4))
def test_a_parameter_that_the_pass_does_not_reach_keeps_its_gradient(owned, bucket, passes):
    size = 3

    def pull(model, rank, skips):
        model.layers[1].skips, model.layers[3].skips = skips
        x = np.random.default_rng(rank).normal(size=(5, 4))
        y, pullback = model.forward(x, train=True)
        pullback(np.ones_like(y), input_gradient=False)

    expected = np.zeros_like(skipping().gradients.flat)
    for skips in passes:
        sums, reached = np.zeros_like(expected), np.zeros(expected.shape, bool)
        for rank in range(size):
            model = skipping()
            model.gradients.flat[...] = np.nan
            pull(model, rank, skips)
            reached = ~np.isnan(model.gradients.flat)
            sums = sums + model.gradients.flat
        expected[reached] = sums[reached]

    def work(world):
        model = skipping()
        starts = model.parameters.starts
        summed = GradientSum(world, model, {starts[name]: number for number, name in enumerate(owned)})
        for skips in passes:
            summed.begin()
            pull(model, world.rank, skips)
            summed.finish()
        return model.gradients.flat.copy()

    with mock.patch.object(module, "_BUCKET", bucket):
        for found in worlds(size, work):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_pass_that_failed_leaves_nothing_behind():
    class FaultError(Exception):
        pass

    def work(world):
        model = network()
        summed = GradientSum(world, model)
        first, last = model.layers[0].weight, model.layers[-1].weight
        pullback, dy = own_gradients(model, world.rank)
        summed.begin()
        with mock.patch.object(first, "take", side_effect=FaultError), pytest.raises(FaultError):
            pullback(dy, input_gradient=False)
        summed.abandon()
        # Out of training a pass of one rank's own is nobody else's business.
        if world.rank == 0:
            own_gradients(model, world.rank)[0](dy, input_gradient=False)
        assert last.taken is None
        pullback, dy = own_gradients(model, world.rank)
        summed.begin()
        pullback(dy, input_gradient=False)
        summed.finish()
        return model.gradients.flat.copy()

    with mock.patch.object(module, "_BUCKET", 1):
        first, second = worlds(2, work)
    model = network()
    expected = 0.0
    for rank in range(2):
        pullback, dy = own_gradients(model, rank)
        pullback(dy, input_gradient=False)
        expected = expected + model.gradients.flat
    for found in (first, second):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
