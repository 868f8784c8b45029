"""Layers that behave differently in training and in inference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import nn


def batches(count, shape=(6, 2, 3), seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(random.uniform(-3, 3), random.uniform(0.5, 3), shape) for _ in range(count)]


@given(momentum=st.sampled_from([0.1, 0.5, 1.0]), count=st.integers(1, 4), seed=st.integers(0, 9))
def test_running_statistics_follow_the_batches(backend, momentum, count, seed):
    layer = nn.BatchNorm(momentum=momentum).build((2, 3), backend=backend, dtype="float64")
    mean, variance = np.zeros(3), np.ones(3)
    for x in batches(count, seed=seed):
        layer.forward(backend.asarray(x), train=True)
        mean += momentum * (x.mean((0, 1)) - mean)
        variance += momentum * (x.var((0, 1), ddof=1) - variance)
    np.testing.assert_allclose(backend.to_numpy(layer.buffers["running_mean"]), mean, rtol=0, atol=1e-13)
    np.testing.assert_allclose(backend.to_numpy(layer.buffers["running_variance"]), variance, rtol=1e-12)
    x = batches(1, seed=99)[0]
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(backend.to_numpy(layer(backend.asarray(x))), expected, rtol=0, atol=1e-12)


def test_batch_norm_equals_torch_over_many_steps():
    torch = pytest.importorskip("torch")
    layer = nn.BatchNorm().build((2, 3), backend="numpy", dtype="float64")
    peer = torch.nn.BatchNorm1d(3).double()
    for x in batches(5):
        y, _ = layer.forward(x, train=True)
        np.testing.assert_allclose(y, peer(torch.tensor(x).mT).mT.detach().numpy(), rtol=0, atol=1e-12)
    peer.eval()
    np.testing.assert_allclose(layer(x), peer(torch.tensor(x).mT).mT.detach().numpy(), rtol=0, atol=1e-12)


def test_batch_norm_of_a_single_number_a_channel_stays_finite():
    layer = nn.BatchNorm().build((3,), backend="numpy", dtype="float64")
    y, pullback = layer.forward(np.array([[1.0, 2.0, 3.0]]), train=True)
    np.testing.assert_array_equal(y, 0.0)
    assert np.all(np.isfinite(pullback(np.ones((1, 3)))))
    np.testing.assert_allclose(layer.buffers["running_variance"], 0.9)


def test_running_statistics_are_not_trained():
    layer = nn.BatchNorm().build((3,), backend="numpy")
    assert set(layer.parameters) == {"weight", "bias"}
    assert set(layer.state_dict()) == {"weight", "bias", "running_mean", "running_variance"}


def test_dropout_acts_only_in_training(backend):
    model = nn.Sequential(nn.Dropout(0.5)).build((100,), backend=backend, dtype="float64")
    x = backend.asarray(np.ones((4, 100)))
    np.testing.assert_array_equal(backend.to_numpy(model(x)), 1.0)
    y, pullback = model.forward(x, train=True)
    assert set(np.unique(backend.to_numpy(y))) == {0.0, 2.0}
    np.testing.assert_array_equal(backend.to_numpy(pullback(x)), backend.to_numpy(y))


def test_dropout_masks_are_the_model_s_random_numbers(backend):
    """Its seed and counter are the whole state: the same on every backend, and brought back by the counter."""

    def make(seed):
        model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.25))
        return model.build((50,), backend=backend, seed=seed, dtype="float64")

    def masks(model, count=2):
        x = backend.asarray(np.ones((3, 50)))
        return [np.array(backend.to_numpy(model.forward(x, train=True)[0])) for _ in range(count)]

    model = make(7)
    first, second = masks(model)
    assert np.any(first != second)
    assert model.random.counter == 4
    model.random.counter = 2
    np.testing.assert_array_equal(masks(model, 1)[0], second)
    np.testing.assert_array_equal(masks(make(7))[0], first)
    assert np.any(masks(make(8))[0] != first)
    reference = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.25)).build((50,), backend="numpy", seed=7, dtype="float64")
    np.testing.assert_array_equal(reference.forward(np.ones((3, 50)), train=True)[0], first)


def test_dropout_of_nothing_draws_nothing():
    model = nn.Dropout(0.0).build((3,), backend="numpy")
    model.forward(np.ones((1, 3), dtype="float32"), train=True)
    assert model.random.counter == 0
