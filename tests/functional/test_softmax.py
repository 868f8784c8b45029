import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.testing.strategies import arrays, shapes

from .peer import assert_equals_torch

both = pytest.mark.parametrize("function", [F.softmax, F.log_softmax])


@st.composite
def inputs(draw):
    x = draw(shapes(1, 4).flatmap(arrays))
    return x, draw(st.integers(-x.ndim, x.ndim - 1))


@given(inputs=inputs())
def test_rows_sum_to_one_and_their_gradients_to_zero(backend, inputs):
    x, axis = inputs
    dy = backend.asarray(np.asarray(np.random.default_rng(0).standard_normal(x.shape)))
    y, pullback = F.softmax(backend.asarray(x), axis)
    assert np.all(backend.to_numpy(y) >= 0)
    np.testing.assert_allclose(backend.to_numpy(y).sum(axis), 1.0, rtol=1e-13)
    # A shift of a whole row changes nothing, so the gradient has no part along it.
    np.testing.assert_allclose(backend.to_numpy(pullback(dy)).sum(axis), 0.0, atol=1e-13)
    _, log_pullback = F.log_softmax(backend.asarray(x), axis)
    np.testing.assert_allclose(backend.to_numpy(log_pullback(dy)).sum(axis), 0.0, atol=1e-12)


@both
@given(inputs=inputs(), shift=st.floats(-1e4, 1e4))
def test_a_shift_changes_nothing(function, inputs, shift):
    x, axis = inputs
    np.testing.assert_allclose(function(x + shift, axis)[0], function(x, axis)[0], rtol=0, atol=1e-11)


@given(inputs=inputs())
def test_log_softmax_is_the_logarithm_of_softmax(inputs):
    x, axis = inputs
    np.testing.assert_allclose(F.log_softmax(x, axis)[0], np.log(F.softmax(x, axis)[0]), rtol=0, atol=1e-13)


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_inputs_are_stable(function, dtype, backend):
    x = backend.asarray(np.array([[1e4, -1e4, 0.0], [1e4, 1e4, 1e4], [-1e4, -1e4, -1e4 + 1]]), dtype)
    y, pullback = function(x)
    for array in (y, pullback(backend.xp.ones_like(y))):
        assert np.all(np.isfinite(backend.to_numpy(array)))
    probabilities = backend.to_numpy(y if function is F.softmax else backend.xp.exp(y))
    np.testing.assert_allclose(probabilities[:2], [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)


@both
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_equals_torch(function, axis):
    peer = getattr(pytest.importorskip("torch"), function.__name__)
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    assert_equals_torch(lambda x: function(x, axis), lambda x: peer(x, axis), x, rtol=1e-13)
