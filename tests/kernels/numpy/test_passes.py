"""Dropout, the loss, the moving average of weights and the clipping of gradients equal their references."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.optim.flat import FlatModel
from xnn import functional as F
from xnn import kernels, optim
from xnn.backends import backend as make_backend
from xnn.random import Random
from xnn.testing import check_twin

pytest.importorskip("numba")

rates = st.sampled_from([0.0, 0.1, 0.3, 1 / 3, 0.5, 0.999, 1e-9, 2.0**-24, 1 - 2.0**-24, 1 - 2.0**-25])
shapes = st.sampled_from([(), (0, 3), (1,), (7,), (5, 3, 2), (3, 100_003)])


def twin_of_dropout(*arguments):
    return kernels.functions(make_backend("numpy", twins=True)).dropout(*arguments)


def stream(seed, counter=0, backend="numpy"):
    return Random(make_backend(backend), seed, "layers", counter)


def numbers(shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@example(shape=(3, 100_003), rate=0.3, seed=1, counter=2, dy_seed=3)
@given(shape=shapes, rate=rates, seed=st.integers(0, 2**64), counter=st.integers(0, 2**40), dy_seed=st.integers(1, 9))
def test_dropout_equals_its_reference_bit_for_bit(shape, rate, seed, counter, dy_seed):
    x, dy, mine, theirs = numbers(shape), numbers(shape, dy_seed), stream(seed, counter), stream(seed, counter)
    for _ in range(2):
        found, pullback = twin_of_dropout(x, rate, mine)
        expected, reference_pullback = F.dropout(x, rate, theirs)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(pullback(dy), reference_pullback(dy))
        assert found.dtype == pullback(dy).dtype == np.float32
    assert mine.counter == theirs.counter == counter + 2


@given(shape=st.sampled_from([(4, 6), (3, 2, 5)]), rate=rates, dtype=st.sampled_from(["float32", "float64"]))
def test_dropout_hands_on_what_it_is_not_made_for(shape, rate, dtype):
    x = numbers(shape, dtype=dtype)
    check_twin(F.dropout, twin_of_dropout, (np.asfortranarray(x), rate, stream(3)))
    y, pullback = twin_of_dropout(x, rate, stream(3))
    _, reference_pullback = F.dropout(x, rate, stream(3))
    dy = np.asfortranarray(numbers(shape, 1, dtype))
    np.testing.assert_array_equal(pullback(dy), reference_pullback(dy))
    assert y.dtype == dtype


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan")])
def test_an_impossible_rate_is_refused_alike(rate):
    random = stream(0)
    with pytest.raises(ValueError, match=r"rate must be a number of at least 0 and below 1"):
        twin_of_dropout(numbers(3), rate, random)
    assert random.counter == 0


def test_dropout_passes_on_what_is_not_a_number():
    y, _ = twin_of_dropout(np.full(1000, np.nan, np.float32), 0.5, stream(0))
    assert 400 < np.isnan(y).sum() < 600
    np.testing.assert_array_equal(y[~np.isnan(y)], 0.0)


def test_the_mask_takes_a_byte_a_number():
    _, pullback = twin_of_dropout(numbers((64, 64)), 0.5, stream(0))
    held = [cell.cell_contents for cell in pullback.__closure__]
    assert sum(array.nbytes for array in held if isinstance(array, np.ndarray)) == 64 * 64


def twin_of_loss(*arguments):
    return kernels.functions(make_backend("numpy", twins=True)).softmax_cross_entropy(*arguments)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(20_011, 10), (701, 100), (3, 70_001)])
def test_a_loss_of_many_rows_equals_the_reference(shape, smoothing):
    logits, labels = 3 * numbers(shape), np.arange(shape[0]) % shape[1]
    check_twin(F.softmax_cross_entropy, twin_of_loss, (logits, labels, smoothing), atol=1e-9)


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_without_a_class_has_no_loss(label):
    loss, _ = twin_of_loss(numbers((3, 10)), np.array([1, label, 2]))
    assert np.isnan(loss)


def model_of(values, twins, lengths=None, **options):
    lengths = lengths or [len(values)]
    return FlatModel(make_backend("numpy", twins=twins), values, lengths, dtype="float32", **options)


@given(length=st.sampled_from([0, 1, 33, 600_001]), decay=st.sampled_from([0.0, 0.5, 0.999]), seed=st.integers(0, 9))
def test_the_average_equals_the_reference_bit_for_bit(length, decay, seed):
    averages = []
    for twins in (True, False):
        model = model_of(numbers(length, seed), twins)
        average = optim.ExponentialMovingAverage(model, decay)
        for step in range(3):
            average.update()
            model.parameters.flat[...] = numbers(length, seed + 10 + step)
        average.update()
        averages.append(average.average)
    for found, expected in zip(*averages, strict=True):
        np.testing.assert_array_equal(found, expected)


@given(value=st.floats(-(2.0**126), 2.0**126, width=32), decay=st.floats(0, 0.9999), steps=st.integers(1, 5))
def test_the_average_of_a_constant_is_that_constant(value, decay, steps):
    model = model_of(np.full(19, value, np.float32), True)
    average = optim.ExponentialMovingAverage(model, decay)
    for _ in range(steps):
        average.update()
    np.testing.assert_array_equal(average.average.parameters, np.full(19, value, np.float32))


def clipped(twins, gradient, max_norm, **options):
    model = model_of(np.zeros(len(gradient)), twins, **options)
    model.set_gradients(gradient)
    norm = optim.clip_gradient_norm(model, max_norm)
    return norm, model.gradients_on_host()


@given(
    lengths=st.lists(st.sampled_from([1, 7, 31, 4096, 4099, 600_001]), min_size=1, max_size=3),
    seed=st.integers(0, 9),
    share=st.sampled_from([1e-3, 0.5, 0.999, 1.001, 10.0]),
    data=st.data(),
)
def test_clipping_equals_the_reference(lengths, seed, share, data):
    trainable = [data.draw(st.booleans()) for _ in lengths]
    gradient = numbers(sum(lengths), seed)
    exact = gradient.astype(np.float64)[np.repeat(trainable, lengths)]
    max_norm = share * np.linalg.norm(exact) or 1.0
    options = {"lengths": lengths, "trainable": trainable}
    (norm, found), (expected_norm, expected) = (clipped(t, gradient, max_norm, **options) for t in (True, False))
    assert norm.shape == ()
    assert norm.dtype == np.float32
    np.testing.assert_allclose(norm, np.linalg.norm(exact), rtol=1e-6)
    np.testing.assert_allclose(norm, expected_norm, rtol=1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if share > 1.0:
        np.testing.assert_array_equal(found, gradient)


@given(norm=st.floats(2.0**-50, 2.0**50, width=32))
def test_a_gradient_at_its_bound_is_not_touched(norm):
    gradient = np.array([norm, 0.0, 0.0], np.float32)
    _, found = clipped(True, gradient, float(clipped(True, gradient, 1e30)[0]))
    np.testing.assert_array_equal(found, gradient)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_what_is_not_finite_is_not_hidden(bad):
    gradient = np.array([1.0, bad, 1.0] * 20, np.float32)
    with np.errstate(all="ignore"):
        (norm, found), (expected_norm, expected) = (clipped(twins, gradient, 1.0) for twins in (True, False))
    np.testing.assert_array_equal(norm, expected_norm)
    np.testing.assert_array_equal(found, expected)
