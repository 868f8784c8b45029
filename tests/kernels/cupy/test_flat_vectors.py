"""Averaging, clipping and casting flat vectors, against what `xnn.optim` does without twins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")

import cupy

from tests.optim.flat import FlatModel
from xnn import optim
from xnn.backends import backend as make_backend
from xnn.kernels.cupy import flat_vectors, launching

CUPY = make_backend("cupy", twins=True)
REFERENCE = make_backend("cupy", twins=False)
LONG = 3000
SIZES = st.sampled_from([0, 1, 31, 257, 2000])
RUNS = st.lists(st.tuples(SIZES, st.booleans()), min_size=1, max_size=6)


@pytest.fixture
def few_blocks(monkeypatch):
    """Grids that a vector of `LONG` numbers is longer than."""
    monkeypatch.setattr(launching, "_MOST_BLOCKS", 5)
    monkeypatch.setattr(flat_vectors, "_SUMS", 3)


def launches_of(function, *arguments):
    launches = []
    with launching.watched(lambda *launch: launches.append(launch)):
        result = function(*arguments)
    return result, [moved for _, moved in launches]


# --- the average ---


@given(size=SIZES, seed=st.integers(0, 9), decay=st.sampled_from([0.0, 0.5, 0.999]))
def test_the_average_moves_as_the_reference(size, seed, decay):
    path, averages = np.random.default_rng(seed).normal(size=(3, size)), []
    for backend in (CUPY, REFERENCE):
        model = FlatModel(backend, path[0], [size], dtype="float32")
        average = optim.ExponentialMovingAverage(model, decay)
        for values in path:
            model.parameters.flat[...] = cupy.asarray(values)
            average.update()
        averages.append(average.average.parameters.get())
    np.testing.assert_allclose(*averages, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("few_blocks")
def test_the_average_of_a_constant_is_that_constant():
    constant = cupy.asarray(np.random.default_rng(0).normal(size=LONG).astype(np.float32))
    average = constant.copy()
    _, moved = launches_of(flat_vectors.move_average, average, constant, 0.3)
    np.testing.assert_array_equal(average.get(), constant.get())
    assert moved == [3 * 4 * LONG]


# --- the norm ---


def clipped(backend, gradient, runs, max_norm):
    lengths, trainable = map(list, zip(*runs, strict=True))
    model = FlatModel(backend, np.zeros_like(gradient), lengths, trainable=trainable, dtype="float32")
    model.set_gradients(gradient)
    norm = optim.clip_gradient_norm(model, max_norm)
    assert (norm.shape, norm.dtype) == ((), np.float32)
    return norm.get(), model.gradients_on_host()


@pytest.mark.races
@given(runs=RUNS, seed=st.integers(0, 9), max_norm=st.sampled_from([1e-3, 1.0, 30.0, 1e9]))
def test_clips_as_the_reference(runs, seed, max_norm):
    gradient = np.random.default_rng(seed).normal(size=sum(run[0] for run in runs)).astype(np.float32)
    (norm, found), (expected_norm, expected) = (clipped(each, gradient, runs, max_norm) for each in (CUPY, REFERENCE))
    np.testing.assert_allclose(norm, expected_norm, rtol=1e-6)
    np.testing.assert_allclose(found, expected, rtol=2e-6)
    if norm <= max_norm:
        np.testing.assert_array_equal(found, gradient)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_what_is_not_finite_spreads_as_in_the_reference(value):
    gradient = np.full(700, 0.5, np.float32)
    gradient[300] = value
    runs = [(299, True), (301, True), (100, False)]
    with np.errstate(all="ignore"):
        (norm, found), (expected_norm, expected) = (clipped(each, gradient, runs, 1.0) for each in (CUPY, REFERENCE))
    np.testing.assert_array_equal(norm, expected_norm)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.races
@pytest.mark.usefixtures("few_blocks")
def test_a_long_vector_has_an_exact_norm_that_repeats():
    gradient = np.random.default_rng(0).normal(size=LONG).astype(np.float32)
    norms = []
    for _ in range(2):
        given = cupy.asarray(gradient)
        norm, moved = launches_of(flat_vectors.clip_norm, [given[:1000], given[1001:]], 2.0)
        norms.append(norm.get())
        counted = LONG - 1
        # As a rule the norm is below the bound, and then it is all that the second one reads.
        assert moved == [4 * counted, 4]
    expected = np.linalg.norm(np.delete(gradient, 1000).astype(np.float64))
    np.testing.assert_allclose(norms[0], expected, rtol=3e-7)
    assert norms[0] == norms[1]
    factors = given.get() / gradient
    assert factors[1000] == 1.0
    np.testing.assert_allclose(np.delete(factors, 1000), 2.0 / expected, rtol=1e-6)


@pytest.mark.races
def test_more_blocks_sum_squares_than_a_block_has_threads():
    gradient = np.random.default_rng(0).normal(size=300 * 256).astype(np.float32)
    norm = flat_vectors.clip_norm([cupy.asarray(gradient)], 1e9)
    np.testing.assert_allclose(norm.get(), np.linalg.norm(gradient.astype(np.float64)), rtol=3e-7)


# --- the lower type ---


@given(size=SIZES, seed=st.integers(0, 9))
def test_a_cast_rounds_as_numpy_does(size, seed):
    vector = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    place = cupy.zeros(size, np.float16)
    flat_vectors.cast_vector(cupy.asarray(vector), place)
    np.testing.assert_array_equal(place.get(), vector.astype(np.float16))
