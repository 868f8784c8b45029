"""Every twin for NumPy equals its reference, wherever it is called."""

import dataclasses
import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.functional.cases import CASES
from tests.kernels.bounds import BOUNDS
from tests.kernels.numpy.chains import chain, composed
from xnn import functional as F
from xnn import kernels
from xnn.backends import backend as make_backend
from xnn.functional.windows import windows
from xnn.kernels.table import NUMPY as NUMPY_TWINS
from xnn.testing import check_twin

pytest.importorskip("numba")
from benchmarks.winograd_error import as_tf32
from xnn.kernels.numpy.threads import threads

NUMPY = make_backend("numpy", twins=True)
TWINS = kernels.twins(NUMPY)
# Dropout takes a stream of random numbers: test_numpy_passes.py.
twin_cases = pytest.mark.parametrize(
    "case", [c for c in CASES if c.name in TWINS and c.name != "dropout"], ids=lambda case: case.name
)


def _twin(name):
    return getattr(kernels.functions(NUMPY), name)


def _single(argument):
    floating = isinstance(argument, np.ndarray) and argument.dtype.kind == "f"
    return argument.astype(np.float32) if floating else argument


def test_every_twin_has_a_case():
    functions = {row.names[0] for row in NUMPY_TWINS if len(row.names) == 1 and hasattr(F, row.names[0])}
    assert functions - {case.name for case in CASES} == {"batch_norm_statistics"}


@twin_cases
@given(data=st.data())
def test_a_twin_equals_its_reference(case, data):
    call = data.draw(case.calls)
    args = [_single(argument) for argument in call.args]
    check_twin(getattr(F, case.name), _twin(case.name), args, call.options, **BOUNDS.get(case.name, {}))


@twin_cases
@given(data=st.data())
def test_float64_is_exact(case, data):
    call = data.draw(case.calls)
    check_twin(getattr(F, case.name), _twin(case.name), call.args, call.options, rtol=1e-14)


@twin_cases
@given(data=st.data())
def test_nothing_that_came_in_is_changed_or_handed_out(case, data):
    call = data.draw(case.calls)
    args = [_single(argument) for argument in call.args]
    arrays = [a for a in args if isinstance(a, np.ndarray)]
    for array in arrays:
        array.flags.writeable = False
    y, pullback = _twin(case.name)(*args, **call.options)
    dy = np.ones(y.shape, dtype=np.float32)
    dy.flags.writeable = False
    results = pullback(dy)
    results = results if isinstance(results, tuple) else (results,)
    for result in (y, *results):
        if isinstance(result, np.ndarray):
            assert not any(np.shares_memory(result, array) for array in (*arrays, dy))


@pytest.mark.parametrize("names", [("linear",), ("linear", "relu")])
def test_an_empty_batch_has_no_gradient(names):
    function = _twin("linear") if len(names) == 1 else chain(names, [], [])
    x, weight, bias = np.zeros((0, 3), np.float32), np.ones((3, 2), np.float32), np.ones(2, np.float32)
    # Memory that held something else before.
    with mock.patch("xnn.kernels.numpy.linear.empty", side_effect=lambda shape: np.full(shape, np.nan, np.float32)):
        _, pullback = function(x, weight, bias)
        dx, dweight, dbias = pullback(np.zeros((0, 2), np.float32))
    assert dx.shape == (0, 3)
    np.testing.assert_array_equal(dweight, np.zeros((3, 2)))
    np.testing.assert_array_equal(dbias, 0.0)


@twin_cases
@given(data=st.data())
def test_not_a_number_is_passed_on(case, data):
    call = data.draw(case.calls)
    args = [_single(argument) for argument in call.args]
    args[0] = np.full_like(args[0], np.nan)
    expected, _ = getattr(F, case.name)(*args, **call.options)
    found, _ = _twin(case.name)(*args, **call.options)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


@st.composite
def _images(draw, longest=14):
    """Images and a weight for 3 x 3 windows, wide and large enough for several tiles, threads and vectors."""
    seed, n = draw(st.integers(0, 99)), draw(st.integers(1, 5))
    h, w, o = (draw(st.integers(3, most)) for most in (longest, longest, 40))
    c = draw(st.integers(1, 4) | st.integers(5, 40))
    generator = np.random.default_rng(seed)
    x, weight = generator.normal(size=(n, h, w, c)), generator.normal(size=(3, 3, c, o))
    return (
        x.astype(np.float32),
        weight.astype(np.float32),
        draw(st.sampled_from([None, generator.normal(size=o).astype(np.float32)])),
    )


@given(call=_images(), padding=st.sampled_from([0, 1, 2, "same", ((0, 1), (3, 0))]), block=st.sampled_from([1, 2**14]))
def test_winograd_equals_the_reference_for_any_block_and_any_used_memory(call, padding, block):
    from xnn.kernels.numpy import winograd

    def twin(x, weight, bias):
        return winograd.conv2d(x, weight, bias, windows("conv2d", x.shape[1:3], 3, 1, padding))

    with mock.patch.object(winograd, "_PLANE", block):
        y, pullback = twin(*(np.full_like(call[0], np.nan), *call[1:]))
        pullback(y)
        check_twin(lambda x, weight, bias: F.conv2d(x, weight, bias, 1, padding), twin, call)


@given(length=st.integers(1, 60), size=st.sampled_from([4, 8]))
def test_tiles_cover_an_axis_with_the_fewest_positions(length, size):
    from xnn.kernels.numpy.winograd_tiles import positions_along, tiles_along

    count, whole = tiles_along(length, size)
    assert size * whole + (size - 1) * (count - whole) >= length
    choices = itertools.product(range(16), range(21))
    fewest = min((size + 2) * a + (size + 1) * b for a, b in choices if size * a + (size - 1) * b >= length)
    assert positions_along(count, whole, size) == (size + 2) * whole + (size + 1) * (count - whole) == fewest


@given(call=_images(31), padding=st.sampled_from([0, 1, "same", ((0, 1), (3, 0))]), block=st.sampled_from([1, 2**14]))
def test_large_tiles_are_more_exact_than_tf32(call, padding, block):
    from xnn.kernels.numpy import winograd

    x, weight, bias = call
    geometry = windows("conv2d", x.shape[1:3], 3, 1, padding)
    dy = np.random.default_rng(1).normal(size=(len(x), *geometry.output, weight.shape[3])).astype(np.float32)

    def results(conv2d, convert):
        y, pullback = conv2d(convert(x), convert(weight), None if bias is None else bias.astype(convert(x).dtype))
        return (y, *pullback(convert(dy)))

    def reference(x, weight, bias):
        return F.conv2d(x, weight, bias, 1, padding)

    def twin(x, weight, bias):
        return winograd.conv2d(x, weight, bias, geometry, large=True)

    exact = results(reference, lambda a: a.astype(np.float64))
    rounded = results(reference, lambda a: as_tf32(a).astype(np.float64))
    with mock.patch.object(winograd, "_PLANE", block):
        results(twin, lambda a: np.full_like(a, np.nan))
        found = results(twin, lambda a: a)
    for right, by_tf32, by_twin in zip(exact[:3], rounded[:3], found[:3], strict=True):
        assert by_twin.dtype == np.float32
        assert np.sqrt(np.mean((by_twin - right) ** 2)) < 0.5 * np.sqrt(np.mean((by_tf32 - right) ** 2))
    assert (found[3] is None) == (bias is None)
    if bias is not None:
        np.testing.assert_allclose(found[3], exact[3], rtol=1e-4, atol=1e-3)


def test_large_tiles_are_taken_where_they_need_fewer_multiplications():
    from xnn.kernels.numpy.winograd import _tiling

    def size(side, large):
        return _tiling(windows("conv2d", (side, side), 3, 1, 1), 16, 16, (1, 1), large)[0].size

    assert {size(side, False) for side in range(1, 33)} == {4}
    assert [side for side in range(1, 33) if size(side, True) == 4] == [1, 2, 3, 4, 9, 10, 11, 12, 17, 18]


@given(
    call=_images(),
    padding=st.sampled_from([0, 1, ((0, 1), (3, 0))]),
    pool=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    block=st.sampled_from([1, 2**14]),
    large=st.booleans(),
)
def test_winograd_pools_as_pooling_does(call, padding, pool, block, large):
    from xnn.kernels.numpy import winograd

    x, weight, bias = call
    geometry = windows("conv2d", x.shape[1:3], 3, 1, padding)
    # What no window of the pooling sees is left out, so the tiles may lie otherwise, and the sums be rounded so.
    seen = tuple(length // window * window for length, window in zip(geometry.output, pool, strict=True))
    assume(all(seen))
    z, inner = winograd.conv2d(x, weight, bias, dataclasses.replace(geometry, output=seen), large=large)
    rounding = 10.0 if large else 1.0
    np.testing.assert_allclose(
        z, F.conv2d(x, weight, bias, padding=padding)[0][:, : seen[0], : seen[1]], rtol=1e-3, atol=rounding * 1e-3
    )
    expected, outer = _twin("max_pool2d")(z, pool)
    dy = np.random.default_rng(0).normal(size=expected.shape).astype(np.float32)
    with mock.patch.object(winograd, "_PLANE", block):
        y, pullback = winograd.conv2d(np.full_like(x, np.nan), weight, bias, geometry, pool, large=large)
        pullback(y)
        y, pullback = winograd.conv2d(x, weight, bias, geometry, pool, large=large)
        dx, dweight, dbias = pullback(dy)
        gradients = pullback(dy, (False, True, False))
    np.testing.assert_array_equal(y, expected)
    # Sums over other images at once, and over pixels where dy is 0.
    for found, wanted in zip((dx, dweight, dbias), inner(outer(dy)), strict=True):
        assert (found is None) == (wanted is None)
        if wanted is not None:
            atol = rounding * 1e-5 * max(np.abs(wanted).max(), 1.0)
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=atol)
    np.testing.assert_array_equal(gradients[1], dweight)
    assert gradients[0] is gradients[2] is None


@given(call=_images(), stride=st.integers(1, 3), dilation=st.integers(1, 2), padding=st.sampled_from([2, "same"]))
def test_the_direct_product_equals_the_reference(call, stride, dilation, padding):
    from xnn.kernels.numpy import direct

    def twin(x, weight, bias):
        return direct.conv2d(x, weight, bias, windows("conv2d", x.shape[1:3], 3, stride, padding, dilation))

    check_twin(lambda x, weight, bias: F.conv2d(x, weight, bias, stride, padding, dilation), twin, call)


@pytest.mark.parametrize("context", ["alone", "alone_but_for_products"])
@given(
    shape=st.tuples(*[st.integers(1, 300)] * 3),
    seed=st.integers(0, 9),
    has_bias=st.booleans(),
)
def test_linear_equals_the_reference_whichever_threads_share_the_product(context, shape, seed, has_bias):
    rows, inputs, outputs = shape
    generator = np.random.default_rng(seed)
    x, weight = (generator.normal(size=size).astype(np.float32) for size in ((rows, inputs), (inputs, outputs)))
    bias = generator.normal(size=outputs).astype(np.float32) if has_bias else None
    with getattr(threads().blas, context):
        # A sum next to 0 may have either sign, and then a derivative of 0 or 1: whole numbers have exact sums.
        args = [None if array is None else np.rint(2 * array) for array in (x, weight, bias)]
        check_twin(F.linear, _twin("linear"), args)
        check_twin(composed(F.linear, F.relu), chain(["linear", "relu"], [], []), args)


@pytest.mark.parametrize("shape", [(1, 2**20), (2, 2**20), (3, 350_001), (1025, 1023), (3001, 350), (2**20 + 1, 1)])
def test_a_single_row_equals_the_reference_with_any_number_of_threads(shape):
    generator = np.random.default_rng(0)
    args = [generator.integers(-2, 3, size).astype(np.float32) for size in ((1, shape[0]), shape, shape[1:])]
    check_twin(F.linear, _twin("linear"), args)
    check_twin(composed(F.linear, F.relu), chain(["linear", "relu"], [], []), args)


@given(
    rows=st.integers(1, 700),
    channels=st.integers(1, 9),
    mean=st.sampled_from([0.0, 100.0, -1e4]),
    seed=st.integers(0, 9),
)
def test_statistics_are_exact_beside_a_large_mean(rows, channels, mean, seed):
    x = np.random.default_rng(seed).normal(mean, 1.0, size=(rows, channels)).astype(np.float32)
    found = _twin("batch_norm_statistics")(x)
    for result, expected in zip(found, F.batch_norm_statistics(x.astype(np.float64)), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


@given(rows=st.integers(16, 700), channels=st.integers(1, 40), affine=st.booleans(), seed=st.integers(0, 9))
def test_batch_norm_of_many_rows_equals_the_reference(rows, channels, affine, seed):
    generator = np.random.default_rng(seed)
    vectors = [generator.normal(size=channels).astype(np.float32) if affine else None for _ in range(2)]
    x = generator.normal(3.0, 2.0, size=(rows, channels)).astype(np.float32)
    check_twin(F.batch_norm, _twin("batch_norm"), (x, *vectors), atol=1e-5)


@pytest.mark.parametrize("name", ["gelu", "sigmoid", "silu", "tanh"])
def test_activations_are_exact_over_the_whole_range(name):
    x = np.concatenate([np.linspace(-100, 100, 20001), np.linspace(-1, 1, 20001), [-np.inf, np.inf, 3e38, -3e38]])
    with np.errstate(all="ignore"):
        expected, reference_pullback = getattr(F, name)(x)
        found, pullback = _twin(name)(x.astype(np.float32))
        ones = np.ones_like(x)
        gradients = pullback(ones.astype(np.float32)), reference_pullback(ones)
    finite = np.isfinite(x)
    np.testing.assert_allclose(found[finite], expected[finite], rtol=2e-6, atol=3e-7)
    np.testing.assert_allclose(gradients[0][finite], gradients[1][finite], rtol=2e-6, atol=1e-6)
