"""Dropout on CuPy sets the same numbers to zero as the reference, and keeps no mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")
from xnn import functional as F
from xnn.backends import backend as make_backend
from xnn.kernels.cupy.dropout import dropout
from xnn.kernels.cupy.launching import watched
from xnn.random import Random
from xnn.testing import check_twin

both_types = pytest.mark.parametrize("dtype", ["float32", "float16"])
CUPY = make_backend("cupy")


@both_types
@given(
    shape=st.sampled_from([(1,), (7,), (3, 5), (2, 3, 4, 8), (2051,)]),
    rate=st.sampled_from([0.0, 0.1, 0.5, 0.999]) | st.floats(0.0, 0.95),
    seed=st.integers(0, 99),
)
def test_equals_the_reference(dtype, shape, rate, seed):
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    check_twin(F.dropout, dropout, (x, rate, Random(CUPY, seed, "dropout")), backend="cupy")


@both_types
def test_the_mask_is_the_same_in_every_call_of_the_pullback_and_the_stream_goes_on(dtype):
    random, other = Random(CUPY, 3), Random(CUPY, 3)
    ones = CUPY.asarray(np.ones((50, 9), dtype))
    masks = []
    for _ in range(2):
        y, pullback = dropout(ones, 0.4, random)
        expected, _ = F.dropout(ones, 0.4, other)
        assert bool((y == expected).all())
        for _ in range(2):
            assert bool((pullback(ones) == y).all())
        masks.append(y)
    assert random.counter == other.counter == 2
    assert not bool((masks[0] == masks[1]).all())


@pytest.mark.parametrize("x", [np.ones((6, 5)), np.ones((0, 5), np.float32), np.ones((4, 6), np.float32).T], ids=str)
def test_the_reference_serves_what_the_kernel_does_not(x):
    check_twin(F.dropout, dropout, (x, 0.5, Random(CUPY, 1)), backend="cupy")


@both_types
def test_the_gradient_of_any_dy(dtype):
    x = CUPY.asarray(np.ones((6, 8), dtype))
    _, pullback = dropout(x, 0.5, Random(CUPY, 1))
    _, expected_pullback = F.dropout(x, 0.5, Random(CUPY, 1))
    numbers = np.random.default_rng(0).standard_normal((8, 6))
    for dy in (CUPY.asarray(numbers.astype(dtype)).T, CUPY.asarray(numbers.T.copy())):
        found, expected = pullback(dy), expected_pullback(dy)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(CUPY.to_numpy(found), CUPY.to_numpy(expected), rtol=1e-3)


@both_types
def test_one_launch_each_way(dtype):
    seen = []
    x = CUPY.asarray(np.ones((60, 8), dtype))
    with watched(lambda kernel, moved: seen.append(moved)):
        _, pullback = dropout(x, 0.5, Random(CUPY, 1))
        pullback(x)
    assert seen == [2 * x.nbytes] * 2


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), "a", None, True, [0.5]])
def test_a_wrong_rate_raises_the_references_error(rate):
    with pytest.raises(ValueError, match="dropout: rate"):
        dropout(CUPY.asarray(np.ones(3, np.float32)), rate, Random(CUPY, 0))


def test_what_is_no_array_raises_the_references_error():
    with pytest.raises(TypeError, match="dropout: x must be an array, not list"):
        dropout([1.0], 0.5, Random(CUPY, 0))
