"""Sums over rows equal exact ones, however many rows and channels there are."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("cupy")
import cupy

from xnn.kernels.cupy.launching import watched
from xnn.kernels.cupy.sums import columns, sum_rows, vector_of


@pytest.mark.races
@given(
    rows=st.integers(1, 300) | st.integers(2000, 9000),
    channels=st.sampled_from([1, 3, 4, 24, 31, 64, 130]),
    dtype=st.sampled_from(["float16", "float32"]),
    offset=st.integers(0, 1),
)
@example(rows=1, channels=1, dtype="float32", offset=0)
@example(rows=3, channels=17000, dtype="float16", offset=0)
def test_sums_of_rows(rows, channels, dtype, offset):
    # Also where the matrix does not begin at a multiple of 16 bytes.
    flat = cupy.asarray(np.random.default_rng(rows).normal(1.0, 1.0, rows * channels + offset), dtype)
    x = flat[offset:].reshape(rows, channels)
    sums = sum_rows(x)
    assert sums.dtype == np.float32
    exact = cupy.asnumpy(x).astype(np.float64)
    np.testing.assert_allclose(cupy.asnumpy(sums), exact.sum(0), rtol=1e-6, atol=3e-7 * np.abs(exact).sum(0).max())
    np.testing.assert_array_equal(cupy.asnumpy(sum_rows(x)), cupy.asnumpy(sums))


@pytest.mark.races
@pytest.mark.parametrize("channels", [1, 8])
def test_the_error_grows_slowly_with_the_number_of_rows(channels):
    """Added one by one, a million numbers would be off by 1e-4 or more."""
    x = np.random.default_rng(0).uniform(0.5, 1.0, (2**20 // channels, channels)).astype(np.float32)
    exact = x.sum(0, dtype=np.float64)
    assert np.abs(cupy.asnumpy(sum_rows(cupy.asarray(x))) / exact - 1.0).max() < 3e-7


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_channels_are_read_together_only_where_memory_allows_it(dtype):
    """A device does not read several numbers at once that begin between multiples of their size."""
    flat = cupy.zeros(24, dtype)
    assert [vector_of(4, flat[start : start + 8].reshape(2, 4)) for start in range(6)] == ["4", *"111", "4", "1"]
    assert vector_of(4, flat, flat[1:]) == vector_of(6, flat) == "1"


def test_no_rows_have_the_sum_zero():
    np.testing.assert_array_equal(cupy.asnumpy(sum_rows(cupy.empty((0, 3), np.float16))), np.zeros(3, np.float32))
    assert sum_rows(cupy.empty((3, 0), np.float32)).shape == (0,)


@pytest.mark.parametrize("vector", ["1", "4"])
@given(rows=st.integers(1, 10**7), channels=st.integers(1, 250))
def test_blocks_cover_the_matrix_and_are_enough_for_a_device(vector, rows, channels):
    channels *= int(vector)
    (tiles, deep), (wide, high) = columns(rows, channels, vector)
    assert wide * high == 256
    assert tiles * wide * int(vector) >= channels > (tiles - 1) * wide * int(vector)
    assert deep == 1 or tiles * deep <= 3 * 132
    # Either each multiprocessor has a block, or each thread has no more than eight rows.
    assert tiles * deep > 132 or deep * high * 8 >= rows


def test_one_launch_that_declares_what_it_moves():
    seen = []
    with watched(lambda name, moved: seen.append((name, moved))):
        sum_rows(cupy.ones((100, 3), np.float16))
        sum_rows(cupy.ones((1024, 32), np.float32))
    # 4 blocks of 32 x 8 rows leave 4 x 32 numbers for the last.
    assert seen == [("sum_rows<__half, 1>", 600 + 12), ("sum_rows<float, 4>", 4 * (32768 + 32 + 2 * 4 * 32))]
