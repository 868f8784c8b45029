"""Pooling on CuPy equals the references, in one launch each way."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")
from tests.kernels.numpy.chains import composed
from xnn import functional as F
from xnn.backends import backend as make_backend
from xnn.kernels.cupy import pixels, pooling
from xnn.kernels.cupy.launching import watched
from xnn.testing import check_twin
from xnn.testing.strategies import pool_geometries

both_types = pytest.mark.parametrize("dtype", ["float32", "float16"])
both_kinds = pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
both_global = pytest.mark.parametrize("name", ["global_max_pool2d", "global_avg_pool2d"])
CUPY = make_backend("cupy")
# One channel at a time, and packs of 4 in float32 and 8 in float16.
CHANNELS = st.sampled_from([1, 3, 4, 8, 24])


def _images(shape, dtype, seed):
    """Images with many equal numbers, and with NaN and both infinities if the seed is odd."""
    random = np.random.default_rng(seed)
    x = random.integers(-3, 4, shape).astype(dtype)
    if seed % 2:
        x[random.random(shape) < 0.05] = np.nan
        x[random.random(shape) < 0.05] = np.inf
        x[random.random(shape) < 0.3] = -np.inf
    return x


def _check(name, x, *args, **options):
    with np.errstate(invalid="ignore"):
        check_twin(getattr(F, name), getattr(pooling, name), (x, *args), options, backend="cupy")


@both_types
@both_kinds
@given(geometry=pool_geometries(), channels=CHANNELS, seed=st.integers(0, 99))
def test_equals_the_reference(name, dtype, geometry, channels, seed):
    _check(name, _images((*geometry.x[:3], channels), dtype, seed), **geometry.options)


@pytest.mark.races
@both_types
@both_global
@given(n=st.integers(1, 5), h=st.integers(1, 7), w=st.integers(1, 60), channels=CHANNELS, seed=st.integers(0, 99))
def test_all_pixels_equal_the_reference(name, dtype, n, h, w, channels, seed):
    x = _images((n, h, w, channels), dtype, seed)
    if name == "global_max_pool2d":
        # Of several NaN the reference may take any.
        x[np.isnan(x)] = np.inf
        x[0, 0, 0, 0] = np.nan if seed % 2 else 0.0
    _check(name, x)


@both_types
@given(geometry=pool_geometries(), channels=CHANNELS, seed=st.integers(0, 99))
def test_relu_and_pooling_equal_one_after_the_other(dtype, geometry, channels, seed):
    arguments = tuple(geometry.options[name] for name in ("window", "stride", "padding"))
    reference = composed(lambda x: F.relu(x), lambda y: F.max_pool2d(y, *arguments))
    x = _images((*geometry.x[:3], channels), dtype, seed)
    check_twin(reference, lambda x: pooling.relu_max_pool2d(x, (), arguments), (x,), backend="cupy")


@pytest.mark.races
@both_types
@pytest.mark.parametrize("shape", [(600, 2, 2, 1), (3, 40, 38, 8), (2, 3, 200, 3)])
def test_many_images_and_images_of_many_blocks(shape, dtype):
    x = _images(shape, dtype, 2)
    with mock.patch.object(pixels, "_MOST_BLOCKS_DOWN", 2):
        for name in ("max_pool2d", "avg_pool2d"):
            _check(name, x, 2)
        for name in ("global_max_pool2d", "global_avg_pool2d"):
            _check(name, x)


@both_types
def test_more_channels_than_a_row_of_threads(dtype):
    for channels in (100, 32 * 8 + 8):
        x = _images((2, 3, 3, channels), dtype, 1)
        for name in ("max_pool2d", "avg_pool2d"):
            _check(name, x, 2, 1)
        _check("global_avg_pool2d", x)
        _check("global_max_pool2d", np.where(np.isnan(x), x.dtype.type(0), x))


@pytest.mark.parametrize("shape", [(1, 2, 1, 32 * 65536 + 1), (2**20, 1, 1, 3), (1, 2**20, 2**10, 1)])
def test_no_batch_needs_more_blocks_than_a_grid_has(shape):
    x = np.broadcast_to(np.float32(1.0), shape)
    for grid, _ in (pixels.over_images(x, "false"), pixels.over_pixels(x, "false")):
        assert grid[0] <= 2**31 - 1
        assert grid[1] <= 65535


@both_kinds
@pytest.mark.parametrize("stride", [2**31 - 1, 2**31, 2**33])
def test_a_stride_may_be_more_than_32_bits_hold(name, stride):
    _check(name, _images((2, 3, 3, 4), "float32", 2), 2, stride)
    _check(name, _images((2, 3, 3, 4), "float32", 2), 2, (1, stride), ((0, 0), (1, 1)))


def test_a_window_may_have_so_many_taps_that_a_byte_cannot_number_them():
    x = np.random.default_rng(0).permutation(18 * 17).reshape(1, 18, 17, 1).astype(np.float32)
    for window in ((15, 17), (16, 16), (18, 17)):
        _check("max_pool2d", x, window)
        _check("avg_pool2d", x, window)
    assert pooling.relu_max_pool2d(CUPY.asarray(x), (), (16,)) is None


def test_the_mean_of_many_float16_numbers_is_exact():
    x = CUPY.asarray(np.full((1, 300, 300, 8), 1.0, np.float16))
    assert bool((pooling.global_avg_pool2d(x)[0] == 1.0).all())
    assert bool((pooling.avg_pool2d(x, 300)[0] == 1.0).all())


@both_types
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "global_max_pool2d", "global_avg_pool2d"])
def test_the_gradient_of_any_dy(name, dtype):
    arguments = () if name.startswith("global") else (3, 2, 1)
    x = CUPY.asarray(_images((2, 5, 5, 8), dtype, 4))
    y, pullback = getattr(pooling, name)(x, *arguments)
    _, expected_pullback = getattr(F, name)(x, *arguments)
    random = np.random.default_rng(0)
    numbers = random.standard_normal((2 * y.size + 1,))
    other = "float16" if dtype == "float32" else "float32"
    dys = [
        CUPY.asarray(numbers.astype(dtype))[1 : y.size + 1].reshape(y.shape),
        CUPY.asarray(numbers.astype(dtype))[1::2].reshape(y.shape),
        CUPY.asarray(numbers[: y.size].astype(other)).reshape(y.shape),
        CUPY.asarray(numbers[: y.size]).reshape(y.shape),
    ]
    for dy in dys:
        found, expected = pullback(dy), expected_pullback(dy)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        rtol = 1e-2 if found.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(CUPY.to_numpy(found), CUPY.to_numpy(expected), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "global_max_pool2d", "global_avg_pool2d"])
@pytest.mark.parametrize("kind", ["float64", "strided", "empty"])
def test_the_reference_serves_what_the_kernels_do_not(name, kind):
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 6))
    x = x if kind == "float64" else x.astype(np.float32)
    x = np.asfortranarray(x) if kind == "strided" else x[:0] if kind == "empty" else x
    _check(name, x, *(() if name.startswith("global") else (2,)))
    if not name.startswith("global"):
        assert pooling.relu_max_pool2d(CUPY.asarray(x), (), (2,)) is None or kind == "strided"


@both_types
def test_one_launch_each_way_moves_each_number_once(dtype):
    seen = []
    x = CUPY.asarray(_images((2, 6, 6, 8), dtype, 2))
    size, four = x.itemsize, x.size // 4
    calls = [
        (lambda: pooling.max_pool2d(x, 2), four),
        (lambda: pooling.relu_max_pool2d(x, (), (2,)), four),
        (lambda: pooling.avg_pool2d(x, 2), 0),
    ]
    with watched(lambda kernel, moved: seen.append(moved)):
        for call, taps in calls:
            y, pullback = call()
            pullback(y)
            assert seen == [(x.size + four) * size + taps] * 2
            seen.clear()
        for function, places in ((pooling.global_max_pool2d, 4 * 16), (pooling.global_avg_pool2d, 0)):
            y, pullback = function(x)
            pullback(y)
            assert seen == [(x.size + 16) * size + places] * 2
            seen.clear()


def test_wrong_arguments_raise_the_references_errors():
    x = CUPY.asarray(np.ones((1, 4, 4, 1), np.float32))
    with pytest.raises(ValueError, match="max_pool2d: padding"):
        pooling.max_pool2d(x, 2, 2, 2)
    with pytest.raises(ValueError, match="4 axes"):
        pooling.avg_pool2d(x[0], 2)
    with pytest.raises(ValueError, match="4 axes"):
        pooling.global_avg_pool2d(x[0])
