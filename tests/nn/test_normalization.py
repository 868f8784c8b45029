"""Statistics of batch normalization that are taken anew."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import nn


def make_model(seed):
    inner = nn.Sequential(nn.Linear(3), nn.BatchNorm(momentum=0.3), nn.ReLU())
    layers = nn.Linear(3), nn.BatchNorm(), nn.GELU(), nn.Dropout(0.3), nn.Residual(inner), nn.Linear(2)
    return nn.Sequential(*layers).build((4,), backend="numpy", seed=seed, dtype="float64")


def batch_norms(model):
    return [model.layers[1], model.layers[4].body.layers[1]]


@given(seed=st.integers(0, 2**31), sizes=st.lists(st.integers(2, 9), min_size=1, max_size=4))
def test_renewed_statistics_are_the_batches_own_weighted_by_size(seed, sizes):
    random = np.random.default_rng(seed)
    batches = [random.normal(3.0, 2.0, (size, 4)) for size in sizes]
    model = make_model(seed)
    reference = copy.deepcopy(model)
    # What was there before does not matter, not even in the last digit.
    model.buffers.flat[...] = random.normal(size=model.buffers.flat.shape) ** 2 * 1e6
    parameters, draws = model.parameters.flat.copy(), model.random.counter

    nn.renew_statistics(model, batches)

    for layer in batch_norms(reference):
        layer.momentum = 1.0
    each = []
    for x in batches:
        reference.buffers.flat[...] = 0.0
        reference.forward(x, train=True)
        each.append(reference.buffers.flat.copy())
    expected = np.average(each, axis=0, weights=sizes)
    np.testing.assert_allclose(model.buffers.flat, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.parameters.flat, parameters)
    assert model.random.counter == draws
    assert [layer.momentum for layer in batch_norms(model)] == [0.1, 0.3]


def test_a_failure_leaves_momentum_and_draws_as_they_were():
    model = make_model(0)
    draws = model.random.counter
    with pytest.raises(ValueError, match="shape"):
        nn.renew_statistics(model, [np.ones((3, 4)), np.ones((3, 5))])
    assert [layer.momentum for layer in batch_norms(model)] == [0.1, 0.3]
    assert model.random.counter == draws


@pytest.mark.parametrize(
    ("batch", "given"),
    [
        (np.ones(4), r"an array of shape \(4,\)"),
        (np.ones((0, 4)), r"an array of shape \(0, 4\)"),
        ((np.ones((5, 4)), np.zeros(5)), "a tuple"),
        ([[1.0, 2.0, 3.0, 4.0]], "a list"),
    ],
)
def test_what_is_no_batch_of_inputs_is_refused(batch, given):
    """Such as the rows of one array, or batches with their labels."""
    model = make_model(0)
    before = model.buffers.flat.copy()
    with pytest.raises(ValueError, match=f"takes batches of inputs, arrays of a batch axis and 1 others, not {given}$"):
        nn.renew_statistics(model, [batch])
    np.testing.assert_array_equal(model.buffers.flat, before)


def test_statistics_need_a_batch():
    model = make_model(0)
    before = model.buffers.flat.copy()
    with pytest.raises(ValueError, match="renew_statistics needs a batch of inputs"):
        nn.renew_statistics(model, [])
    np.testing.assert_array_equal(model.buffers.flat, before)


def test_a_model_without_batch_normalization_stays_as_it_is():
    model = nn.Sequential(nn.Linear(3), nn.LayerNorm()).build((4,), backend="numpy")
    before = model.state_dict()
    nn.renew_statistics(model, [])
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
