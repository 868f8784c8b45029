"""Models are values: a copy, or one that was pickled, computes and trains alike, and alone."""

import copy
import pickle
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nn.examples import EXAMPLES
from tests.tasks import DIGITS
from xnn import nn, optim, recipes
from xnn.nn.building import named_layers
from xnn.testing.strategies import networks

WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda value: pickle.loads(pickle.dumps(value))}  # noqa: S301 - our own
COPIED = st.sampled_from(sorted(WAYS))


def step(model, x, labels, optimizer):
    """One step of training; returns the loss."""
    logits, pullback = model.forward(x, train=True)
    loss, loss_pullback = nn.SoftmaxCrossEntropy().forward(logits, labels)
    pullback(loss_pullback(), input_gradient=False)
    optimizer.step()
    return float(loss)


def flats(model):
    vectors = (model.parameters.flat, model.gradients.flat, model.buffers.flat)
    return [np.array(model.backend.to_numpy(vector)) for vector in vectors]


@given(case=networks(smooth=False), way=COPIED, seed=st.integers(0, 99), dtype=st.sampled_from(["float32", "float64"]))
def test_a_copy_trains_alone_and_as_the_original_does(backend, case, way, seed, dtype):
    network, shape = case
    model = network.build(shape, backend=backend, seed=seed, dtype=dtype)
    random = np.random.default_rng(seed)
    x = backend.asarray(random.standard_normal((4, *shape)), dtype=dtype)
    labels = backend.asarray(np.arange(4) % model.output_shape[0])
    step(model, x, labels, optim.SGD(model, lr=0.05))  # so that buffers and the random counter have moved
    twin = WAYS[way](model)
    before = flats(model)
    losses = [step(twin, x, labels, optimizer) for optimizer in [optim.SGD(twin, lr=0.05)] for _ in range(2)]
    for found, expected in zip(flats(model), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [step(model, x, labels, optimizer) for optimizer in [optim.SGD(model, lr=0.05)] for _ in range(2)] == losses
    for found, expected in zip(flats(twin), flats(model), strict=True):
        np.testing.assert_array_equal(found, expected)
    for views in (twin.parameters, twin.gradients, twin.buffers):
        views.flat[...] = backend.asarray(np.full(views.flat.shape, -3.0), dtype=dtype)
        for view in views.values():
            np.testing.assert_array_equal(backend.to_numpy(view), -3.0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_layer_can_be_copied(backend, example, way):
    layer = example.make().build(example.input_shape, backend=backend, dtype="float64")
    x = backend.asarray(np.random.default_rng(0).standard_normal((3, *example.input_shape)))
    np.testing.assert_array_equal(backend.to_numpy(WAYS[way](layer)(x)), backend.to_numpy(layer(x)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_named_model_can_be_copied(name, way):
    model = recipes.network(name, DIGITS, hidden=4).build((8, 8, 1), backend="numpy", seed=3)
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(WAYS[way](model)(x), model(x))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_frozen_stays_frozen(backend, way):
    model = nn.Sequential(nn.Linear(3), nn.Linear(2)).build((4,), backend=backend)
    model.freeze("0")
    twin = WAYS[way](model)
    assert [p.trainable for p in twin._all_parameters.values()] == [False, False, True, True]
    assert twin.segments() == model.segments()
    twin.unfreeze()
    assert not model._all_parameters["0.weight"].trainable


@pytest.mark.parametrize("way", WAYS)
def test_a_part_of_a_model_becomes_a_model_of_its_own(backend, way):
    model = nn.Sequential(nn.Linear(3), nn.ReLU(), nn.Linear(2)).build((4,), backend=backend, dtype="float64")
    part = WAYS[way](model[2])
    x = backend.asarray(np.random.default_rng(0).standard_normal((5, 3)))
    np.testing.assert_array_equal(backend.to_numpy(part(x)), backend.to_numpy(model[2](x)))
    assert list(part.parameters) == ["weight", "bias"]
    part.parameters.flat[...] = backend.asarray(np.zeros(8))
    assert float(backend.xp.max(backend.xp.abs(model.parameters["2.weight"]))) > 0.0


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_built_is_copied_as_it_is(way):
    twin = WAYS[way](nn.Sequential(nn.Linear(3), nn.BatchNorm()))
    assert twin.build((4,), backend="numpy").output_shape == (3,)


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_keeps_its_precision(backend, way):
    if "float16" not in backend.precisions:
        pytest.skip(f"{backend.name} offers no float16")
    model = nn.Sequential(nn.Linear(3), nn.BatchNorm(), nn.ReLU(), nn.Linear(2))
    model.build((4,), backend=backend, precision="float16")
    x = backend.asarray(np.random.default_rng(0).standard_normal((5, 4)), dtype="float32")
    twin = WAYS[way](model)
    assert twin.precision == "float16"
    np.testing.assert_array_equal(backend.to_numpy(twin(x)), backend.to_numpy(model(x)))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_what_is_kept_of_a_layer_is_small_and_what_is_not_is_made_anew(example):
    """Nothing that is kept refers to the flat vectors of the model that is copied."""
    layer = example.make().build(example.input_shape, backend="numpy")
    twin = copy.deepcopy(layer)
    assert vars(twin).keys() == vars(layer).keys()
    vectors = [views.flat for views in (layer.parameters, layer.gradients, layer.buffers)]
    for inside in named_layers(twin).values():
        for value in vars(inside).values():
            arrays = value.values() if isinstance(value, Mapping) else [value]
            for array in arrays:
                held = getattr(array, "value", array)
                assert not any(isinstance(held, np.ndarray) and np.shares_memory(held, each) for each in vectors)
