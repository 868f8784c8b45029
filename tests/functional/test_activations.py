import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.functional import _normal

from .peer import assert_equals_torch

NAMES = ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus")
every_activation = pytest.mark.parametrize("name", NAMES)
EXTREMES = np.array([-1e4, -745.0, -100.0, -1e-300, 0.0, 1e-300, 100.0, 710.0, 1e4])


def evaluated(function, x, backend, **options):
    """Return y and the derivative at each x."""
    y, pullback = function(backend.asarray(x), **options)
    return backend.to_numpy(y), backend.to_numpy(pullback(backend.xp.ones_like(y)))


@every_activation
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_inputs_neither_overflow_nor_warn(name, dtype, backend):
    x = EXTREMES.astype(dtype)
    y, slope = evaluated(getattr(F, name), x, backend)
    assert np.all(np.isfinite(y))
    assert np.all(np.isfinite(slope))
    # Far out, each is 0, 1, -1 or the identity.
    np.testing.assert_allclose(y[-1], 1.0 if name in ("sigmoid", "tanh") else 1e4)
    limits = {"leaky_relu": -100.0, "elu": -1.0, "tanh": -1.0}
    np.testing.assert_allclose(y[0], limits.get(name, 0.0))
    np.testing.assert_allclose(slope[-1], 0.0 if name in ("sigmoid", "tanh") else 1.0)
    np.testing.assert_allclose(slope[0], 0.01 if name == "leaky_relu" else 0.0)


@every_activation
@given(x=st.floats(-30, 30))
def test_equals_torch(name, x):
    peer = getattr(pytest.importorskip("torch").nn.functional, name)
    # There, softplus is replaced by the identity beyond 20.
    atol = 3e-9 if name == "softplus" else 1e-14
    assert_equals_torch(getattr(F, name), peer, np.array([x]), rtol=1e-12, atol=atol)


@given(x=st.floats(-40, 40))
def test_gelu_equals_the_error_function_of_the_standard_library(x):
    y, pullback = F.gelu(np.array([x]))
    # erfc, since 1 + erf loses the digits of a small tail.
    expected = 0.5 * math.erfc(-x / math.sqrt(2.0))
    assert abs(y[0] - x * expected) <= 1e-15 * max(1.0, abs(x))
    density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    assert abs(pullback(np.ones(1))[0] - (expected + x * density)) <= 2e-15


def test_gelu_keeps_the_digits_of_the_tail():
    x = np.linspace(-30.0, -1.0, 59)
    y, _ = F.gelu(x)
    np.testing.assert_allclose(y, [a * 0.5 * math.erfc(-a / math.sqrt(2.0)) for a in x], rtol=2e-13)


@given(x=st.floats(-8, 8))
def test_gelu_in_single_precision(x):
    x = np.float32(x)
    y, _ = F.gelu(np.array([x]))
    assert abs(y[0] - float(x) * 0.5 * math.erfc(-float(x) / math.sqrt(2.0))) <= 3e-7 * max(1.0, abs(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_normal_distribution_ends_in_zero_and_one(backend, dtype):
    ends = backend.asarray(np.array([-np.inf, 0.0, np.inf]), dtype)
    np.testing.assert_array_equal(backend.to_numpy(_normal.normal_cdf(ends)), [0.0, 0.5, 1.0])


@given(
    series=st.lists(st.integers(-8, 8), min_size=14, max_size=20),
    t=st.floats(-1, 1, width=32),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_the_recurrence_sums_any_chebyshev_series(series, t, dtype):
    terms = series[:13] if dtype == "float32" else series
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_normal, "_COEFFICIENTS", tuple(map(float, series)))
        (found,) = _normal._chebyshev(np.array([t], dtype))
    assert abs(found - np.polynomial.chebyshev.chebval(t, terms)) <= 1e4 * np.finfo(dtype).eps


@given(x=st.floats(-20, 20))
def test_gelu_by_tanh_equals_torch(x):
    gelu = pytest.importorskip("torch").nn.functional.gelu
    of_both = (partial(function, approximate="tanh") for function in (F.gelu, gelu))
    assert_equals_torch(*of_both, np.array([x]), rtol=1e-12, atol=1e-14)


def test_the_gradient_on_a_kink(backend):
    zero = np.zeros(1)
    assert evaluated(F.relu, zero, backend)[1] == 0.0
    assert evaluated(F.leaky_relu, zero, backend, slope=0.25)[1] == 0.25
    assert evaluated(F.elu, zero, backend, alpha=0.5)[1] == 0.5


@given(x=st.floats(-50, 50))
def test_relations_between_them(x):
    x = np.array([x])
    sigmoid, tanh, softplus = (F.sigmoid(x)[0], F.tanh(x)[0], F.softplus(x)[0])
    np.testing.assert_allclose(sigmoid + F.sigmoid(-x)[0], 1.0, rtol=1e-15)
    np.testing.assert_allclose(tanh, 2.0 * F.sigmoid(2.0 * x)[0] - 1.0, rtol=0, atol=1e-15)
    np.testing.assert_allclose(softplus - F.softplus(-x)[0], x, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(F.silu(x)[0], x * sigmoid, rtol=1e-15)
    np.testing.assert_array_equal(F.leaky_relu(x, 0.0)[0], F.relu(x)[0])
    np.testing.assert_array_equal(F.leaky_relu(x, 1.0)[0], x)


def test_gelu_names_its_choices():
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh', not 'erf'"):
        F.gelu(np.ones(1), approximate="erf")
