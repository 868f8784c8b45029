"""Normalization on CuPy equals its references, in float32 and for images of float16 beside parameters of float32."""

from functools import partial

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("cupy")
import cupy

from tests.kernels.numpy.chains import composed
from xnn import functional as F
from xnn import nn
from xnn.backends import backend as make_backend
from xnn.kernels.cupy import normalization as twins
from xnn.kernels.cupy.launching import watched
from xnn.testing import check_twin

ACTIVATIONS = [None, "relu", "gelu", "silu"]
# Where a variance nearly vanishes, rounding is multiplied by up to 1 / sqrt(eps), in numbers that should cancel.
BOUNDS = {"rtol": 1e-2, "atol": 1e-4}


def in_float32(function):
    """Return a function that casts x of float16 to float32, and y and dx back, as a model without the twins does."""

    def lowered(x, *parameters):
        if x.dtype != np.float16:
            return function(x, *parameters)
        y, inner = function(x.astype(np.float32), *parameters)

        def pullback(dy, needs=(True, True, True)):
            dx, *others = inner(dy.astype(np.float32), needs)
            return (None if dx is None else dx.astype(np.float16), *others)

        return y.astype(np.float16), pullback

    return lowered


def of_chain(twin, activation, *rest):
    """Return a function of (x, weight, bias) that calls the twin of a chain, or of batch normalization alone."""
    if activation is None:
        return lambda x, weight, bias: twin(x, weight, bias, *rest)
    follows = ("none",) if activation == "gelu" else ()

    def function(x, weight, bias):
        return twin(x, (weight, bias, *rest), follows)

    return function


def followed(reference, activation):
    return in_float32(reference if activation is None else composed(reference, getattr(F, activation)))


@st.composite
def batches(draw, most=40):
    """Draw whole numbers x (..., c), a weight and a bias, each of which may be missing.

    Sums of whole numbers are exact, and with the bias no sum is so near 0 that rounding decides its sign.
    """
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    leading = draw(st.sampled_from([(2,), (7,), (3, 5), (2, 3, 4), (most, 9), (most, 8, 9)]))
    channels = draw(st.sampled_from([1, 3, 4, 24, 33, 64, 132]))
    x = generator.integers(-4, 5, (*leading, channels))
    weight = draw(st.sampled_from([None, generator.integers(1, 5, channels).astype(np.float32)]))
    bias = draw(st.sampled_from([None, np.full(channels, 0.123, np.float32)]))
    return x.astype(draw(st.sampled_from(["float16", "float32"]))), weight, bias


@pytest.mark.races
@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(batch=batches(), eps=st.sampled_from([1e-5, 1]))
def test_batch_norm_equals_its_reference(activation, batch, eps):
    if batch[2] is None and activation == "relu":
        batch = (*batch[:2], np.full(batch[0].shape[-1:], 0.123, np.float32))
    twin = of_chain(getattr(twins, "_".join(filter(None, ["batch_norm", activation]))), activation, eps, None)
    check_twin(followed(partial(F.batch_norm, eps=eps), activation), twin, batch, backend="cupy", **BOUNDS)


@pytest.mark.races
@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(batch=batches(), eps=st.sampled_from([1e-5, 1]))
def test_batch_norm_by_given_statistics_equals_its_reference(activation, batch, eps):
    channels = batch[0].shape[-1]
    statistics = cupy.linspace(-1.03, 1.0, channels, dtype=np.float32), cupy.full(channels, 0.7, np.float32)
    name = "_".join(filter(None, ["batch_norm_inference", activation]))
    twin = of_chain(getattr(twins, name), activation, *statistics, eps)
    reference = followed(lambda *args: F.batch_norm_inference(*args, *statistics, eps), activation)
    check_twin(reference, twin, batch, backend="cupy", atol=1e-4)


@pytest.mark.races
@given(batch=batches(), eps=st.sampled_from([1e-5, 1]))
@example(batch=(np.arange(3.0 * 1300).reshape(3, 1300).astype(np.float32), None, None), eps=1)
@example(batch=(np.sin(np.arange(2.0 * 2051)).reshape(2, 2051).astype(np.float16), None, None), eps=1)
def test_layer_norm_equals_its_reference(batch, eps):
    reference, twin = partial(F.layer_norm, eps=eps), partial(twins.layer_norm, eps=eps)
    check_twin(in_float32(reference), twin, batch, backend="cupy", **BOUNDS)


@pytest.mark.races
def test_a_vector_is_one_position():
    x = np.arange(6, dtype=np.float32)
    check_twin(F.batch_norm, twins.batch_norm, (x, x, x), backend="cupy", atol=1e-4)
    check_twin(F.layer_norm, twins.layer_norm, (x, x, x), backend="cupy", atol=1e-4)


@pytest.mark.races
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 24, 64])
@pytest.mark.parametrize("rows", [2, 1000, 20_000])
def test_statistics_are_exact_where_the_mean_is_much_larger_than_the_deviation(rows, channels, dtype):
    """And where the first row, which is subtracted, is far from all others."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, channels)) + (100 if dtype == "float16" else 10_000)
    x[0] = 0.0
    x = x.astype(dtype)
    found = [cupy.asnumpy(a) for a in twins.batch_norm_statistics(cupy.asarray(x))]
    x = x.astype(np.float64)
    for array, exact in zip(found, (x.mean(0), x.var(0)), strict=True):
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, exact, rtol=1e-6)


@pytest.mark.parametrize("origin", [1e4, -1e6])
def test_a_large_mean_costs_no_digits(origin):
    x = (np.random.default_rng(1).integers(-4, 5, (20, 300)) + origin).astype(np.float32)
    exact = x.astype(np.float64)
    for axis, function in ((0, twins.batch_norm), (1, twins.layer_norm)):
        expected = (exact - exact.mean(axis, keepdims=True)) / np.sqrt(exact.var(axis, keepdims=True) + 1e-5)
        y, _ = function(cupy.asarray(x))
        # Of the mean as rounded to float32, half a unit in the last place.
        bound = 1e-6 + (np.spacing(np.float32(abs(origin))) if axis == 0 else 0.0)
        np.testing.assert_allclose(cupy.asnumpy(y), expected, rtol=0, atol=bound)


@pytest.mark.races
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_same_bits_twice(dtype):
    generator = np.random.default_rng(0)
    x, dy = (cupy.asarray(generator.normal(size=(2000, 24)), dtype) for _ in range(2))
    weight = cupy.asarray(generator.normal(size=24), np.float32)
    for function in (twins.batch_norm, twins.layer_norm):
        results = []
        for _ in range(2):
            y, pullback = function(x, weight, weight)
            results.append([cupy.asnumpy(a) for a in (y, *pullback(dy))])
        for first, second in zip(*results, strict=True):
            np.testing.assert_array_equal(first, second)


def test_not_a_number_is_passed_on():
    x = cupy.ones((9, 3), np.float32)
    x[4, 1] = np.nan
    for y in (twins.batch_norm(x)[0], twins.batch_norm_relu(x, (None, None, 1e-5, None), ())[0]):
        np.testing.assert_array_equal(np.isnan(cupy.asnumpy(y)), np.tile([False, True, False], (9, 1)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("own", [True, False])
def test_what_the_kernels_are_not_for_is_left_to_the_references(dtype, own):
    """Strided images, other types, and parameters of float16."""
    generator = np.random.default_rng(0)
    wide = "float64" if dtype == "float64" else "float32"
    x = generator.normal(size=(6, 4, 10)).astype(dtype)[:, ::2]
    weight, bias, mean, variance = generator.uniform(0.5, 2, (4, 10)).astype(dtype if own else wide)
    norms = [(F.batch_norm, twins.batch_norm, ()), (F.layer_norm, twins.layer_norm, ())]
    norms.append((F.batch_norm_inference, twins.batch_norm_inference, tuple(map(cupy.asarray, (mean, variance)))))
    for reference, twin, rest in norms:
        expected = reference if own else in_float32(reference)
        args = np.asfortranarray(x), weight, bias
        check_twin(partial(_with, expected, rest), partial(_with, twin, rest), args, backend="cupy")
    chain = twins.batch_norm_relu(cupy.asarray(x)[:, ::2], (None, None, 1e-5, None), ())
    assert (chain is None) == (dtype == "float64")
    plain = cupy.ones((2, 10), dtype)
    assert (twins.batch_norm_gelu(plain, (None, None, 1e-5, None), ("tanh",))) is None
    statistics = twins.batch_norm_statistics(cupy.asarray(x)[:, ::2])
    assert twins.batch_norm(cupy.asarray(x)[:, ::2], statistics=statistics)[0].dtype == dtype
    np.testing.assert_allclose(cupy.asnumpy(statistics[1]), x[:, ::2].astype(np.float64).var((0, 1)), rtol=1e-5)
    assert {a.dtype for a in statistics} == {np.dtype(wide)}


@pytest.mark.parametrize("with_parameters", [True, False])
def test_strided_images_of_float16_are_computed_in_float32(with_parameters):
    """In float16 their variance would be infinite."""
    x = (300.0 * np.random.default_rng(0).normal(size=(6, 4, 10))).astype(np.float16)
    parameter = np.ones(10, np.float32) if with_parameters else None
    for reference, twin in ((F.batch_norm, twins.batch_norm), (F.layer_norm, twins.layer_norm)):
        args = np.asfortranarray(x), parameter, parameter
        check_twin(in_float32(reference), twin, args, backend="cupy", rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_gradient_that_is_the_same_for_all_rows_may_be_given_once(activation):
    generator = np.random.default_rng(0)
    x, dy = (cupy.asarray(generator.normal(size=(rows, 8)), np.float32) for rows in (64, 1))
    weight, bias = cupy.ones(8, np.float32), cupy.zeros(8, np.float32)
    name = "_".join(filter(None, ["batch_norm", activation]))
    inference = of_chain(getattr(twins, name.replace("norm", "norm_inference")), activation, bias, weight, 1e-5)
    functions = [of_chain(getattr(twins, name), activation, 1e-5, None), inference]
    for function in functions if activation else [*functions, twins.layer_norm]:
        _, pullback = function(x, weight, bias)
        for found, expected in zip(pullback(dy), pullback(cupy.broadcast_to(dy, x.shape)), strict=True):
            np.testing.assert_array_equal(cupy.asnumpy(found), cupy.asnumpy(expected))
        with pytest.raises(ValueError, match="broadcast"):
            pullback(cupy.ones((3, 8), np.float32))


@pytest.mark.parametrize("row", [0, 7, 8, 2999])
def test_infinity_has_an_infinite_mean(row):
    x = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
    x[row] = np.inf, -np.inf, np.nan, 0.0
    mean, variance = map(cupy.asnumpy, twins.batch_norm_statistics(cupy.asarray(x)))
    np.testing.assert_array_equal(mean[:3], [np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(np.isnan(variance), [True, True, True, False])


def _with(function, rest, x, weight, bias):
    return function(x, weight, bias, *rest)


def test_mistakes_are_named_as_by_the_references():
    x = cupy.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"^batch_norm: weight must have shape \(3,\)"):
        twins.batch_norm(x, cupy.ones(2, np.float32))
    with pytest.raises(TypeError, match="layer_norm: weight is float64 but x is float32"):
        twins.layer_norm(x, cupy.ones(3))
    with pytest.raises(ValueError, match="an empty batch has no mean and variance"):
        twins.batch_norm_statistics(cupy.ones((0, 3), np.float16))
    with pytest.raises(TypeError, match="batch_norm_statistics: x must be an array of floating-point numbers"):
        twins.batch_norm_statistics(cupy.ones((2, 3), np.int32))


def _launches(function, *args):
    seen = []
    with watched(lambda name, moved: seen.append((name.partition("<")[0], moved))):
        result = function(*args)
    return result, seen


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_launches_and_what_they_declare_to_move(dtype):
    x = cupy.ones((100, 32), dtype)
    weight = cupy.ones(32, np.float32)
    image, vector = x.nbytes, 128
    (y, pullback), seen = _launches(twins.batch_norm, x, weight, weight)
    assert seen == [("batch_norm_statistics", image + 2 * vector), ("batch_norm", 2 * image + 4 * vector)]
    sums, derivative = ("batch_norm_sums", 2 * image + 6 * vector), ("batch_norm_dx", 3 * image + 6 * vector)
    assert _launches(pullback, y)[1] == [sums, derivative]
    assert _launches(pullback, y, (False, True, False))[1] == [sums]
    assert _launches(pullback, y, (False, False, False))[1] == []
    (y, pullback), seen = _launches(twins.batch_norm_inference, x, weight, None, weight, weight)
    assert seen == [("batch_norm", 2 * image + 3 * vector)]
    assert _launches(pullback, y, (True, False, True))[1] == [("batch_norm_dx", 3 * image + 3 * vector)]
    (y, pullback), seen = _launches(twins.layer_norm, x, weight, weight)
    assert seen == [("layer_norm", 2 * image + 2 * vector + 2 * 400)]
    sums, derivative = ("layer_norm_sums", 2 * image + 2 * vector), ("layer_norm_dx", 3 * image + vector)
    assert _launches(pullback, y)[1] == [(derivative[0], derivative[1] + 800), (sums[0], sums[1] + 800)]
    # Of 1024 rows, 4 blocks leave three numbers a channel.
    _, seen = _launches(twins.batch_norm_statistics, cupy.ones((1024, 32), np.float32))
    assert seen == [("batch_norm_statistics", 131072 + 2 * vector + 2 * 4 * 3 * vector)]


@pytest.mark.races
@pytest.mark.parametrize("momentum", [0.1, 1])
@given(rows=st.integers(1, 30), channels=st.sampled_from([1, 5, 300]), seed=st.integers(0, 99))
def test_a_layer_moves_its_statistics_in_one_launch(momentum, rows, channels, seed):
    x = np.random.default_rng(seed).normal(3.0, 2.0, (rows, channels)).astype(np.float32)
    moved = []
    for backend in (make_backend("cupy", twins=True), make_backend("cupy", twins=False)):
        layer = nn.BatchNorm(momentum=momentum).build((channels,), backend=backend)
        for _ in range(2):
            _, seen = _launches(layer.forward, cupy.asarray(x), True)
        assert [name for name, _ in seen].count("move_statistics") == backend.twins
        moved.append(cupy.asnumpy(layer.buffers.flat))
    np.testing.assert_allclose(*moved, rtol=1e-5, atol=1e-6)


def test_a_layer_that_refuses_float64_has_not_read_its_statistics_as_float32():
    layer = nn.BatchNorm().build((3,), backend=make_backend("cupy", twins=True))
    with pytest.raises(TypeError, match="weight is float32 but x is float64"):
        layer.forward(cupy.ones((4, 3)), True)
    np.testing.assert_allclose(cupy.asnumpy(layer.buffers.flat), [0.1] * 3 + [0.9] * 3, rtol=1e-6)
