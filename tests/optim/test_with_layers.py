"""Optimizers, clipping and averaging on models made of real layers."""

import numpy as np
import pytest

from tests.optim.table import WITH_MUON
from xnn import functional as F
from xnn import nn, optim


def build(backend, seed=0):
    # A bias before a norm has a gradient of rounding errors alone, which Adam would scale up.
    model = nn.Sequential(nn.Linear(6, bias=False), nn.BatchNorm(), nn.ReLU(), nn.Linear(3))
    return model.build((4,), backend=backend, seed=seed, dtype="float64")


def batch(backend, n=24):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 4))
    return backend.asarray(x), backend.asarray((x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5))


def backward(model, x, labels):
    logits, pullback = model.forward(x, train=True)
    loss, loss_pullback = F.softmax_cross_entropy(logits, labels)
    pullback(loss_pullback())
    return float(model.backend.to_numpy(loss))


RATES = {"sgd": 0.5, "adam": 0.05, "adamw": 0.05, "rmsprop": 0.02, "rmsprop-momentum": 0.005}
each_optimizer = pytest.mark.parametrize("name", WITH_MUON)


def make(name, model):
    return WITH_MUON[name](model, RATES.get(name, 0.1))


@each_optimizer
def test_the_loss_falls(backend, name):
    model, (x, labels) = build(backend), batch(backend)
    optimizer = make(name, model)
    first = backward(model, x, labels)
    for _ in range(40):
        optimizer.step()
        last = backward(model, x, labels)
    assert last < 0.3 * first


@each_optimizer
def test_frozen_layers_stay(backend, name):
    model, (x, labels) = build(backend), batch(backend)
    optimizer = make(name, model)
    frozen = next(iter(model.parameters)).rpartition(".")[0]
    model.freeze(frozen)
    before = model.state_dict()
    for _ in range(3):
        backward(model, x, labels)
        optim.clip_gradient_norm(model, 0.1)
        optimizer.step()
    after = model.state_dict()
    for name in model.parameters:
        assert (after[name] == before[name]).all() == name.startswith(f"{frozen}.")


@pytest.mark.parametrize("decay_all", [False, True])
def test_norms_and_biases_are_decayed_only_when_asked(backend, decay_all):
    model = build(backend)
    model.parameters.flat[...] = 1.0
    optimizer = optim.SGD(model, 0.1, weight_decay=0.5, decay_all=decay_all)
    optimizer.step()
    for name, values in model.state_dict().items():
        if name in model.parameters:
            decayed = decay_all or values.ndim == 2
            np.testing.assert_allclose(values, 0.95 if decayed else 1.0, rtol=1e-15)


def test_the_average_takes_in_running_statistics(backend):
    model, (x, labels) = build(backend), batch(backend)
    ema = optim.ExponentialMovingAverage(model, 0.5)
    states = []
    for _ in range(3):
        backward(model, x, labels)
        ema.update()
        states.append(model.state_dict())
    with ema.applied():
        averaged = model.state_dict()
    assert len(model.buffers) == 2
    for name, value in averaged.items():
        expected = 0.25 * states[0][name] + 0.25 * states[1][name] + 0.5 * states[2][name]
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_array_equal(model.state_dict()[name], states[2][name])


def test_a_run_is_the_same_on_every_backend(backend):
    numpy_like = build("numpy")
    model = build(backend)
    for each in (numpy_like, model):
        optimizer = optim.AdamW(each, 0.05)
        x, labels = batch(each.backend)
        for _ in range(10):
            backward(each, x, labels)
            optim.clip_gradient_norm(each, 0.5)
            optimizer.step()
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, numpy_like.state_dict()[name], rtol=1e-9, atol=1e-12)
