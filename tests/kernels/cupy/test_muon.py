"""Muon's update of all matrices together against one after another."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")

import cupy

from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.kernels.cupy import launching, muon

CUPY = make_backend("cupy", twins=True)
REFERENCE = make_backend("cupy", twins=False)

WIDTHS = st.lists(st.sampled_from([1, 2, 3, 5, 8, 40]), min_size=2, max_size=6)
OPTIONS = st.fixed_dictionaries(
    {
        "momentum": st.sampled_from([0.3, 0.95]),
        "nesterov": st.booleans(),
        "weight_decay": st.sampled_from([0.0, 0.5]),
        "adjust": st.sampled_from(["none", "original", "match_rms_adamw"]),
        "normalize": st.booleans(),
        "iterations": st.integers(1, 4),
    }
)


def chain(backend, widths, frozen=""):
    """A chain of matrices, as wide as drawn: some of one shape, some of the same smaller side."""
    model = nn.Sequential(*(nn.Linear(width, bias=False) for width in widths[1:]))
    model.build((widths[0],), backend=backend, seed=1)
    if frozen:
        model.freeze(frozen)
    return model


def gradients_of(model, steps, seed):
    """Gradients whose singular values are of one magnitude: the iteration magnifies the rounding of small ones."""
    generator, gradients = np.random.default_rng(seed), []
    for _ in range(steps):
        flat = np.empty(model.parameters.flat.size, np.float32)
        for entry in model.layout():
            rows, columns = entry["shape"]
            side = min(rows, columns)
            u, _ = np.linalg.qr(generator.normal(size=(rows, side)))
            v, _ = np.linalg.qr(generator.normal(size=(columns, side)))
            matrix = (u * generator.uniform(0.3, 1.0, side)) @ v.T
            flat[entry["start"] : entry["start"] + rows * columns] = matrix.ravel()
        gradients.append(flat)
    return gradients


def train(model, optimizer, gradients):
    for gradient in gradients:
        model.gradients.flat[...] = cupy.asarray(gradient)
        optimizer.step()
    return model.parameters.flat.get(), optimizer.slots["velocity"].get()


def both(widths, options, steps=3, seed=0, frozen="", spoil=lambda gradient: None):
    results = []
    for backend in (CUPY, REFERENCE):
        model = chain(backend, widths, frozen)
        gradients = gradients_of(model, steps, seed)
        for gradient in gradients:
            spoil(gradient)
        results.append(train(model, optim.Muon(model, 0.1, **options), gradients))
    return results


def assert_close(found, expected):
    (parameters, velocity), (expected_parameters, expected_velocity) = found, expected
    np.testing.assert_allclose(velocity, expected_velocity, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parameters, expected_parameters, rtol=1e-4, atol=1e-5)


@pytest.mark.races
@given(widths=WIDTHS, options=OPTIONS, seed=st.integers(0, 99), freezes=st.booleans())
def test_three_steps_equal_the_reference(widths, options, seed, freezes):
    assert_close(*both(widths, options, seed=seed, frozen="0" if freezes else ""))


@pytest.mark.races
def test_matrices_beyond_the_blocks_of_a_launch(monkeypatch):
    # Of which there would be too many to be cheap here.
    monkeypatch.setattr(muon, "_blocks", lambda matrices, largest: 3)
    muon._plan.cache_clear()
    try:
        assert_close(*both([40, 70, 40, 70, 40], {"normalize": True, "weight_decay": 0.1}))
    finally:
        muon._plan.cache_clear()


@pytest.mark.races
def test_more_blocks_sum_squares_than_a_block_has_threads():
    assert_close(*both([3, 300 * 256 // 3], {"normalize": True}, steps=1))


@pytest.mark.parametrize(("matrices", "largest"), [(1, 1), (1, 10**8), (6, 589_824), (300, 10**7), (10**5, 257)])
def test_blocks_are_enough_for_a_device_and_not_too_many(matrices, largest):
    blocks = muon._blocks(matrices, largest)
    assert 1 <= blocks <= max(2048, 16)
    assert (blocks - 1) * 256 < largest
    assert blocks * 256 >= largest or blocks * matrices >= 2048 - matrices


def test_a_matrix_without_a_gradient_stays():
    def spoil(gradient):
        gradient[:20] = 0.0

    (found, velocity), expected = both([4, 5, 5, 3], {"weight_decay": 0.0}, spoil=spoil)
    assert_close((found, velocity), expected)
    np.testing.assert_array_equal(found[:20], chain(CUPY, [4, 5, 5, 3]).parameters.flat.get()[:20])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("normalize", [False, True])
def test_a_matrix_of_zeros_has_no_norm_to_be_given(normalize):
    model = chain(CUPY, [4, 5])
    model.parameters.flat[...] = 0.0
    found, _ = train(model, optim.Muon(model, 0.1, normalize=normalize), [np.zeros(20, np.float32)])
    np.testing.assert_array_equal(found, np.zeros(20))


def test_what_is_not_a_number_spoils_its_matrix_alone():
    def spoil(gradient):
        gradient[7] = np.nan

    (found, _), (expected, _) = both([4, 5, 5, 3], {}, steps=1, spoil=spoil)
    assert np.isnan(found[:20]).all()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(found[20:]).all()


@pytest.mark.races
def test_a_step_has_the_same_bits_each_time_and_is_never_in_tf32():
    results = []
    for tf32 in (False, False, True):
        with CUPY.products(tf32):
            model = chain(CUPY, [40, 70, 40, 8])
            results.append(train(model, optim.Muon(model, 0.1, normalize=True), gradients_of(model, 2, 0))[0])
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_launches_and_products_of_a_step(monkeypatch):
    """Two shapes with one smaller side, and one with another."""
    products, launches = [], []
    multiply = muon.multiply_stack

    @functools.wraps(multiply)
    def counted(a, b, **options):
        products.append((*a.shape, b.shape[-1]))
        return multiply(a, b, **options)

    monkeypatch.setattr(muon, "multiply_stack", counted)
    model = chain(CUPY, [8, 8, 8, 5, 8, 3])
    optimizer = optim.Muon(model, 0.1, normalize=True, iterations=2)
    with launching.watched(lambda *launch: launches.append(launch)):
        optimizer.step()
    sizes, squares = 2 * 64 + 2 * 40 + 24, 2 * 64 + 2 * 25 + 9
    assert [moved for _, moved in launches] == [
        4 * 5 * sizes, 4 * 2 * sizes, 4 * 2 * squares, 4 * 2 * squares, 4 * 3 * sizes,
    ]  # fmt: skip
    begin, end = [(1, 3, 8, 3), (1, 5, 8, 5), (1, 5, 8, 5), (2, 8, 8, 8)], [(1, 8, 3, 3), (1, 5, 5, 8), (1, 8, 5, 5)]
    square = [(1, 3, 3, 3), (2, 5, 5, 5), (2, 8, 8, 8)]
    assert products == [*begin, *5 * square, *end, (2, 8, 8, 8)]
