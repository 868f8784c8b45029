"""Random numbers as a function of (seed, stream, counter)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xnn
from xnn.random import Random
from xnn.testing.strategies import shapes

HOST = xnn.backend("numpy")
MANY = 200_000

seeds = st.integers(0, 2**64)


@given(seed=seeds, stream=st.text(), shape=shapes(0, 3, min_side=0), dtype=st.sampled_from(["float32", "float64"]))
def test_every_backend_draws_the_same(backend, seed, stream, shape, dtype):
    there, here = Random(backend, seed, stream), Random(HOST, seed, stream)
    for draw in (lambda r: r.uniform(shape, dtype), lambda r: r.integers(-3, 2**30, shape)):
        found, expected = draw(there), draw(here)
        assert found.shape == shape
        assert found.dtype == backend.dtype(str(expected.dtype))
        np.testing.assert_array_equal(backend.to_numpy(found), expected)


@given(seed=seeds, before=st.integers(0, 5), counter=st.integers(0, 2**40))
def test_the_counter_is_the_whole_state(backend, seed, before, counter):
    random = Random(backend, seed, "a", counter)
    for _ in range(before):
        random.uniform((2,))
    assert random.counter == counter + before
    expected = backend.to_numpy(random.uniform((9,)))
    random.counter = counter + before
    np.testing.assert_array_equal(backend.to_numpy(random.uniform((9,))), expected)


@given(seed=seeds)
def test_seed_stream_and_counter_each_make_other_numbers(seed):
    draws = [Random(HOST, *key).uniform((64,)) for key in [(seed, "a"), (seed + 1, "a"), (seed, "b"), (seed, "a", 1)]]
    for i, first in enumerate(draws):
        for second in draws[:i]:
            assert np.mean(first == second) < 0.1


@given(seed=seeds)
def test_both_dtypes_hold_the_same_numbers(seed):
    single, double = (Random(HOST, seed).uniform((99,), dtype) for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(single, double)


# The bounds are six standard deviations of what independent uniform numbers do; the draws are fixed by the seed.
@pytest.mark.parametrize("seed", range(4))
def test_uniform_numbers_are_uniform_and_independent(seed):
    u = Random(HOST, seed).uniform((MANY,), "float64")
    assert u.min() >= 0.0
    assert u.max() < 1.0
    assert abs(u.mean() - 0.5) < 6 * math.sqrt(1 / 12 / MANY)
    counts = np.bincount((u * 64).astype(int), minlength=64)
    chi_squared = np.sum((counts - MANY / 64) ** 2) / (MANY / 64)
    assert abs(chi_squared - 63) < 6 * math.sqrt(2 * 63)
    for lag in (1, 2, 3, 8, 32, 1024):
        assert abs(np.corrcoef(u[lag:], u[:-lag])[0, 1]) < 6 / math.sqrt(MANY)
    bits = (u * 2**24).astype(np.int64)
    for bit in range(24):
        assert abs(np.mean((bits >> bit) & 1) - 0.5) < 6 * 0.5 / math.sqrt(MANY)


@pytest.mark.parametrize("seed", range(4))
def test_draws_do_not_depend_on_each_other(seed):
    random = Random(HOST, seed)
    first, second = random.uniform((MANY,), "float64"), random.uniform((MANY,), "float64")
    other = Random(HOST, seed + 1).uniform((MANY,), "float64")
    for a, b in [(first, second), (first, other)]:
        assert abs(np.corrcoef(a, b)[0, 1]) < 6 / math.sqrt(MANY)


@pytest.mark.parametrize("seed", range(4))
def test_normal_numbers_have_the_moments_of_a_normal_distribution(seed):
    z = Random(HOST, seed).normal((MANY,), "float64")
    assert np.all(np.isfinite(z))
    # Standard deviations of the sample moments of N(0, 1): 1, sqrt 2, sqrt 15, sqrt 96, each over sqrt n.
    for power, expected, deviation in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]:
        assert abs(np.mean(z**power) - expected) < 6 * math.sqrt(deviation / MANY)
    assert Random(HOST, seed).normal((3, 2)).dtype == np.float32


@given(low=st.integers(-(2**40), 2**40), width=st.integers(1, 50), seed=seeds)
def test_integers_cover_their_range_and_nothing_else(low, width, seed):
    drawn = Random(HOST, seed).integers(low, low + width, (100 * width,))
    assert set(drawn.tolist()) == set(range(low, low + width))


def test_the_widest_range_of_integers_does_not_overflow():
    drawn = Random(HOST, 0).integers(0, 2**31, (MANY,))
    assert drawn.min() >= 0
    assert drawn.max() < 2**31
    assert abs(drawn.mean() / 2**31 - 0.5) < 6 * math.sqrt(1 / 12 / MANY)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (3, 2), (0, 2**31 + 1)])
def test_ranges_that_cannot_be_drawn_from(low, high):
    with pytest.raises(ValueError, match=f"low={low}, high={high}"):
        Random(HOST, 0).integers(low, high, (2,))


def test_a_seed_is_not_negative():
    with pytest.raises(ValueError, match="-1"):
        Random(HOST, -1)
