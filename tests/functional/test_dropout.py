import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.random import Random

rates = st.sampled_from([0.0, 0.1, 0.5, 0.9])


@given(rate=rates, seed=st.integers(0, 99), dtype=st.sampled_from(["float32", "float64"]))
def test_the_expectation_stays(backend, rate, seed, dtype):
    count = 20_000
    y, _ = F.dropout(backend.asarray(np.ones(count), dtype), rate, Random(backend, seed))
    y = backend.to_numpy(y)
    assert set(np.unique(y).tolist()) <= {0.0, float(np.asarray(1 / (1 - rate), dtype))}
    deviation = math.sqrt(rate / (1 - rate) / count)
    assert abs(y.mean() - 1.0) <= 6 * deviation + 1e-6


@given(rate=rates, seed=st.integers(0, 99))
def test_the_mask_of_the_way_back_is_that_of_the_way_there(backend, rate, seed):
    ones = backend.asarray(np.ones((5, 8)))
    y, pullback = F.dropout(ones, rate, Random(backend, seed))
    np.testing.assert_array_equal(backend.to_numpy(pullback(ones)), backend.to_numpy(y))


def test_each_draw_has_a_mask_of_its_own_and_the_counter_brings_it_back(backend):
    random, x = Random(backend, 3), backend.asarray(np.ones(64))
    first, second = (backend.to_numpy(F.dropout(x, 0.5, random)[0]) for _ in range(2))
    assert np.any(first != second)
    random.counter = 0
    np.testing.assert_array_equal(backend.to_numpy(F.dropout(x, 0.5, random)[0]), first)


@given(rate=rates)
def test_a_draw_of_exactly_the_rate_is_kept(rate):
    """So at rate 0 a draw of 0 is kept too, and nothing is ever dropped."""
    random = SimpleNamespace(uniform=lambda shape, first: np.full(shape, rate))
    np.testing.assert_array_equal(F.dropout(np.ones(3), rate, random)[0], 1.0 / (1.0 - rate))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
def test_a_rate_outside_its_range_is_named(backend, rate):
    with pytest.raises(ValueError, match=r"dropout: rate must be a number of at least 0 and below 1"):
        F.dropout(backend.asarray(np.ones(3)), rate, Random(backend, 0))
