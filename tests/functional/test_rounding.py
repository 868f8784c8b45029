"""What float32 leaves of sums over many numbers: an error that hardly grows with how many there are."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.functional._common import sum_rows

EPS = float(np.finfo("float32").eps)
LONG = 2**17 + 3
"""Rows after which a sum of numbers that are alike, added one by one, has lost three digits; no multiple of 16."""

lengths = st.integers(1, 16).flatmap(lambda bits: st.integers(2 ** (bits - 1), 2**bits))
# A sum of numbers that are alike loses most: the roundings go the same way.
spreads = st.sampled_from([(0.0, 1.0), (3.0, 1.0), (0.1, 1e-5), (-0.7, 1e-5)])
seeds = st.integers(0, 2**16)


def numbers(shape, spread=(0.0, 1.0), seed=0):
    """Return normally distributed float32 numbers of a mean and a standard deviation."""
    mean, deviation = spread
    return (mean + deviation * np.random.default_rng(seed).standard_normal(shape)).astype("float32")


def close(found, expected, terms, count):
    """Hold an error to what grows with the logarithm of `count`, given the sum or mean of the terms' magnitudes."""
    allowed = 4 * EPS * (1 + math.log2(count)) * np.asarray(terms)
    np.testing.assert_array_less(np.abs(np.asarray(found, "float64") - expected), allowed + np.finfo("float32").tiny)


def rows_of(x):
    return x.reshape(-1, x.shape[-1]).astype("float64")


@given(count=lengths, spread=spreads, seed=seeds)
@example(count=LONG, spread=(0.1, 1e-5), seed=0)
def test_sums_over_rows_keep_their_digits(backend, count, spread, seed):
    x = numbers((2, count, 3), spread, seed)
    found = backend.to_numpy(sum_rows(backend.asarray(x)))
    close(found, x.sum(1, dtype="float64"), np.abs(x).sum(1, dtype="float64"), count)


@pytest.mark.parametrize("count", [0, 1, 2, 128, 129, 143, 144, 145, 2047, 2048, 2049, 2050, 40000])
def test_every_row_is_in_the_sum_once(backend, count):
    """Of whole numbers, so that no order of adding makes a difference."""
    x = np.arange(2.0 * count * 3).reshape(2, count, 3)
    np.testing.assert_array_equal(backend.to_numpy(sum_rows(backend.asarray(x))), x.sum(1))


def test_narrow_rows_are_added_in_float32():
    x = np.full((5000, 2), 1.0, "float16")
    found = sum_rows(x)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, 5000.0)


@given(count=lengths, spread=spreads, seed=seeds)
@example(count=LONG, spread=(0.1, 1e-5), seed=0)
def test_the_gradient_of_a_bias_keeps_its_digits(backend, count, spread, seed):
    dy = numbers((1, count, 1, 3), spread, seed)
    expected, terms = rows_of(dy).sum(0), np.abs(rows_of(dy)).sum(0)
    on_device = backend.asarray(dy)
    x, ones = backend.asarray(np.ones((1, count, 1, 1), "float32")), backend.asarray(np.ones(3, "float32"))
    needs = (False, False, True)
    gradients = {
        "linear": F.linear(x, ones[None, :], ones)[1](on_device, needs)[2],
        "conv2d": F.conv2d(x, ones[None, None, None, :], ones)[1](on_device, needs)[2],
        "batch_norm": F.batch_norm(on_device, ones, ones)[1](on_device, needs)[2],
        "batch_norm_inference": F.batch_norm_inference(on_device, ones, ones, ones, ones)[1](on_device, needs)[2],
        "layer_norm": F.layer_norm(on_device, ones, ones)[1](on_device, needs)[2],
        "add": F.add(on_device, ones)[1](on_device)[1],
        "add, with axes of length 1": F.add(ones[None, None, None, :], on_device)[1](on_device)[0],
    }
    for gradient in gradients.values():
        close(backend.to_numpy(gradient).reshape(3), expected, terms, count)


@given(count=lengths, spread=spreads, seed=seeds)
@example(count=LONG, spread=(0.1, 1e-5), seed=0)
def test_batch_statistics_keep_their_digits(backend, count, spread, seed):
    x = numbers((count, 3), spread, seed)
    mean, variance = map(backend.to_numpy, F.batch_norm_statistics(backend.asarray(x)))
    double = rows_of(x)
    close(mean, double.mean(0), np.abs(double).mean(0), count)
    # About the mean that was found, which is rounded.
    about = ((double - mean) ** 2).mean(0)
    close(variance, about, about, count)


@pytest.mark.parametrize("along", [False, True])
@given(count=lengths, spread=spreads, seed=seeds)
@example(count=LONG, spread=(0.1, 1e-5), seed=0)
def test_gradients_of_batch_normalization_keep_their_digits(backend, along, count, spread, seed):
    """Where all of dy is alike, and where all of dy x is: one of the two means in dx is then a sum of such numbers."""
    signs = np.where(numbers((count, 3), seed=seed) > 0, 1, -1).astype("float32")
    x, dy = signs * numbers((count, 3), (1.0, 1e-5), seed), numbers((count, 3), spread, seed + 1)
    dy = dy * signs if along else dy
    weight = numbers((3,), seed=seed + 2)
    mean, variance = (a.astype("float32") for a in F.batch_norm_statistics(rows_of(x)))
    eps = 0.1  # So that a channel with hardly any variance is none that blows rounding up.

    def gradients(dtype):
        made = [backend.asarray(a, dtype) for a in (x, weight, weight, mean, variance, dy)]
        _, pullback = F.batch_norm(*made[:3], eps, statistics=(made[3], made[4]))
        _, inference_pullback = F.batch_norm_inference(*made[:5], eps)
        found = (*pullback(made[5])[:2], inference_pullback(made[5])[1])
        return [backend.to_numpy(a).astype("float64") for a in found]

    r = 1.0 / np.sqrt(variance.astype("float64") + eps)
    normalized = (np.abs(rows_of(x)) + np.abs(mean)) * r
    g = np.abs(rows_of(dy) * weight)
    dweight = (np.abs(rows_of(dy)) * normalized).sum(0)
    terms = (r * (g + g.mean(0) + normalized * (g * normalized).mean(0)), dweight, dweight)
    for found, expected, magnitude in zip(gradients("float32"), gradients("float64"), terms, strict=True):
        close(found, expected, magnitude, count)


@given(count=lengths, spread=spreads, seed=seeds)
@example(count=LONG, spread=(0.1, 1e-5), seed=0)
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_over_many_classes_keeps_its_digits(backend, axis, count, spread, seed):
    shape = (count, 3) if axis == 0 else (3, count)
    x, dy = numbers(shape, spread, seed), numbers(shape, spread, seed + 1)

    def results(function, dtype):
        y, pullback = function(backend.asarray(x, dtype), axis)
        return [backend.to_numpy(a).astype("float64") for a in (y, pullback(backend.asarray(dy, dtype)))]

    y, dx = results(F.softmax, "float64")
    found, found_dx = results(F.softmax, "float32")
    # Where an exponent is rounded, the power is by as many parts as the exponent is large.
    parts = 1.0 + np.abs(x - x.max(axis, keepdims=True))
    close(found, y, y * parts, count)
    magnitude = np.abs(dy.astype("float64"))
    close(found_dx, dx, y * parts * (magnitude + (magnitude * y * parts).sum(axis, keepdims=True)), count)
    log_y, log_dx = results(F.log_softmax, "float64")
    found, found_dx = results(F.log_softmax, "float32")
    close(found, log_y, parts + np.abs(log_y), count)
    rounded = 1.0 + np.abs(log_y)
    close(found_dx, log_dx, magnitude + y * rounded * magnitude.sum(axis, keepdims=True), count)


@given(sides=st.tuples(st.integers(1, 200), st.integers(1, 200)), spread=spreads, seed=seeds)
@example(sides=(361, 363), spread=(0.1, 1e-5), seed=0)
def test_means_over_pixels_keep_their_digits(backend, sides, spread, seed):
    x = numbers((2, *sides, 3), spread, seed)
    y, _ = F.global_avg_pool2d(backend.asarray(x))
    double = x.astype("float64")
    close(backend.to_numpy(y), double.mean((1, 2)), np.abs(double).mean((1, 2)), math.prod(sides))
