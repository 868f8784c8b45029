"""A copy of a model whose arrays are no views."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xnn
from xnn import nn
from xnn.nn.binding import bound
from xnn.testing.strategies import networks


@given(case=networks(smooth=False, max_layers=2), seed=st.integers(0, 99))
def test_the_copy_computes_the_same_on_another_library(backend, case, seed):
    network, shape = case
    model = network.build(shape, backend=backend, seed=seed, dtype="float64")
    other = bound(model, xnn.backend("numpy", twins=False), "float64")
    x = np.random.default_rng(seed).normal(size=(3, *shape))
    found, expected = other(x), backend.to_numpy(model(backend.asarray(x)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.max(np.abs(expected), initial=1.0))


def test_the_copy_has_arrays_of_its_own_and_no_flat_vectors():
    model = nn.Sequential(nn.Linear(3), nn.BatchNorm(), nn.Linear(2)).build((4,), backend="numpy")
    state = model.state_dict()
    other = bound(model, model.backend)
    other[0].weight.value[...] = 7.0
    assert np.all(other[0].weight.operand == 7.0)
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, state[name])
    assert other[0].bias.value.base is None
    for name in ("parameters", "gradients", "buffers"):
        with pytest.raises(AttributeError, match=name):
            getattr(other, name)


def test_a_lower_precision_is_left_behind():
    layers = nn.Conv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3)
    low = nn.Sequential(*layers).build((4, 4, 1), backend="numpy", precision="float16")
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype(np.float32)
    layers = nn.Conv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3)
    full = nn.Sequential(*layers).build((4, 4, 1), backend="numpy")
    np.testing.assert_array_equal(bound(low, full.backend)(x), full(x))
    assert np.any(low(x) != full(x))
