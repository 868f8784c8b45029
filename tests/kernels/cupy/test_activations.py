"""Activations on CuPy equal their references, in one launch each way."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")
from xnn import functional as F
from xnn.backends import backend as make_backend
from xnn.kernels.cupy import activations
from xnn.kernels.cupy.launching import watched
from xnn.kernels.table import CUPY as TABLE
from xnn.testing import check_twin

NAMES = ("relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "silu", "gelu")
CALLS = [(name, {}) for name in NAMES] + [
    ("leaky_relu", {"slope": -0.5}),
    ("elu", {"alpha": 2.5}),
    ("gelu", {"approximate": "tanh"}),
]
every_call = pytest.mark.parametrize(("name", "options"), CALLS, ids=str)
both_types = pytest.mark.parametrize("dtype", ["float32", "float16"])
# The references round each step to float16, and 1 - y loses digits where y is near 1.
ATOL = {"float32": 2e-7, "float16": 4e-3}
CUPY = make_backend("cupy")


def _numbers(shape, dtype, seed=0):
    return (3.0 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


# Around whole packs of 16 bytes, and beyond a block of them.
@both_types
@every_call
@given(size=st.integers(1, 40) | st.sampled_from([1023, 1024, 2051, 6000]), seed=st.integers(0, 99))
def test_equals_the_reference(name, options, dtype, size, seed):
    x = _numbers(size, dtype, seed)
    check_twin(getattr(F, name), getattr(activations, name), (x,), options, backend="cupy", atol=ATOL[dtype])


@both_types
@every_call
def test_numbers_that_are_none_or_infinite(name, options, dtype):
    # In float16 the reference's x² overflows beyond 255.
    far = 200.0 if dtype == "float16" else 1e4
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, far, -far], dtype)
    check_twin(getattr(F, name), getattr(activations, name), (x,), options, backend="cupy")


@pytest.mark.parametrize("name", [r.names[0] for r in TABLE if r.module == "activations" and r.casts])
def test_in_float16_only_the_results_are_rounded(name):
    """Where a function is nearly constant, a slope computed from a rounded y would be twice what it is, or nothing."""
    x = np.linspace(-11, 11, 999).astype(np.float16)
    expected, expected_pullback = getattr(F, name)(x.astype(np.float64))
    y, pullback = getattr(activations, name)(CUPY.asarray(x))
    dx = pullback(CUPY.asarray(np.ones_like(x)))
    assert y.dtype == dx.dtype == np.float16
    # Half a unit in the last place, of the smallest numbers 6e-8.
    np.testing.assert_allclose(CUPY.to_numpy(y), expected, rtol=6e-4, atol=4e-8)
    np.testing.assert_allclose(CUPY.to_numpy(dx), expected_pullback(np.ones(x.shape)), rtol=6e-4, atol=4e-8)


@both_types
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_any_dy(name, dtype):
    x = _numbers((6, 10), dtype)
    dys = [_numbers((10, 6), dtype).T, _numbers((6, 10), "float64"), _numbers((6, 1), dtype)]
    for dy in dys:
        functions = getattr(F, name), getattr(activations, name)
        expected, found = (function(CUPY.asarray(x))[1](CUPY.asarray(dy)) for function in functions)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(
            CUPY.to_numpy(found), CUPY.to_numpy(expected), rtol=1e-2 if dtype == "float16" else 1e-5, atol=ATOL[dtype]
        )


@both_types
@pytest.mark.parametrize("name", NAMES)
def test_an_array_that_begins_anywhere(name, dtype):
    whole = CUPY.asarray(_numbers(1000, dtype))
    for first in (1, 3, 8):
        x = whole[first:]
        y, pullback = getattr(activations, name)(x)
        expected, expected_pullback = getattr(activations, name)(x.copy())
        assert bool((y == expected).all())
        assert bool((pullback(x) == expected_pullback(x.copy())).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("x", [np.ones((2, 3)), np.ones((0, 3), np.float32), np.ones((4, 6), np.float32).T], ids=str)
def test_the_reference_serves_what_the_kernel_does_not(name, x):
    check_twin(getattr(F, name), getattr(activations, name), (x,), backend="cupy")


@pytest.mark.parametrize("name", NAMES)
def test_one_launch_each_way(name):
    seen = []
    x = CUPY.asarray(_numbers((100, 3), "float16"))
    with watched(lambda kernel, moved: seen.append(moved)):
        _, pullback = getattr(activations, name)(x)
        pullback(x)
    assert seen == [2 * 600, 3 * 600]


def test_wrong_arguments_raise_the_references_errors():
    with pytest.raises(TypeError, match="floating-point"):
        activations.relu(CUPY.asarray(np.arange(3)))
    with pytest.raises(ValueError, match="approximate"):
        activations.gelu(CUPY.asarray(np.ones(3, np.float32)), "sigmoid")


@pytest.mark.parametrize("name", ["leaky_relu", "elu"])
def test_a_parameter_on_the_device_is_not_waited_for(name):
    x, parameter = CUPY.asarray(_numbers(9, "float32")), CUPY.asarray(np.asarray(0.5, np.float32))
    with mock.patch.object(type(parameter), "get", side_effect=AssertionError("read from the device")):
        found, _ = getattr(activations, name)(x, parameter)
    np.testing.assert_array_equal(CUPY.to_numpy(found), CUPY.to_numpy(getattr(F, name)(x, parameter)[0]))
