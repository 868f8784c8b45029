"""Draws on CuPy are those of the reference, in one launch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")
import cupy

from xnn.backends import backend as make_backend
from xnn.kernels.cupy import draws
from xnn.kernels.cupy.launching import FOLDER, OPTIONS, watched
from xnn.random import Random, _mix

CUPY = make_backend("cupy", twins=True)
REFERENCE = make_backend("numpy", twins=False)
KEYS = st.tuples(*[st.integers(0, 2**32 - 1)] * 2)
# Around a block, and more than the threads of a grid of 16 blocks.
SHAPES = st.sampled_from([(), (1,), (255,), (257,), (2, 3, 4), (5000,), (0, 3)])
WORDS = """
__global__ void words(const long long* positions, long long* out, long long key0, long long key1) {
  out[threadIdx.x] = word_at(positions[threadIdx.x], key0, key1);
}
"""


def _expected_words(positions, keys):
    with np.errstate(over="ignore"):
        return _mix(_mix(positions ^ keys[0]) ^ keys[1])


def _check(found, expected):
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(CUPY.to_numpy(found), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(shape=SHAPES, keys=KEYS)
def test_uniform_numbers(dtype, shape, keys):
    words = _expected_words(np.arange(np.prod(shape, dtype=np.int64)), keys)
    _check(draws.uniform(keys, shape, dtype), ((words >> 8) * 2.0**-24).astype(dtype).reshape(shape))


# From 1 number to 2**31, at places that 32 bits do not hold.
@given(
    shape=SHAPES,
    keys=KEYS,
    low=st.sampled_from([0, -7, -(2**31), 2**32, -(2**62), 2**62]),
    count=st.integers(1, 2**31) | st.just(2**31),
)
def test_integers(shape, keys, low, count):
    words = _expected_words(np.arange(np.prod(shape, dtype=np.int64)), keys)
    _check(draws.integers(keys, shape, low, low + count), (((words * count) >> 32) + low).reshape(shape))


def test_a_stream_is_the_same_with_twins_and_without():
    streams = [Random(backend, 3, "stream") for backend in (CUPY, REFERENCE)]
    for _ in range(2):
        found, expected = (stream.uniform((40, 3)) for stream in streams)
        _check(found, expected)
        found, expected = (stream.integers(-5, 9, (70,)) for stream in streams)
        _check(found, expected)
    assert streams[0].counter == streams[1].counter == 4


def test_positions_beyond_32_bits_are_drawn_as_the_reference_draws_them():
    # So many numbers would take too long, so the hash is compared at some places.
    positions = np.array([*range(5), 2**31, 2**32 - 1, 2**32, 2**32 + 7, 5 * 2**33 + 12345, 2**45 + 99])
    code = (FOLDER / "draws.cu").read_text(encoding="utf-8") + WORDS
    kernel = cupy.RawModule(code=code, options=OPTIONS, name_expressions=["words"]).get_function("words")
    keys = 0xDEADBEEF, 0x12345678
    found = cupy.zeros(len(positions), np.int64)
    kernel((1,), positions.shape, (cupy.asarray(positions), found, *keys))
    _check(found, _expected_words(positions, keys))


def test_one_launch_writes_each_number_once():
    seen = []
    with watched(lambda kernel, moved: seen.append(moved)):
        draws.uniform((1, 2), (30, 4), "float32")
        draws.uniform((1, 2), (30, 4), "float64")
        draws.integers((1, 2), (30,), 0, 5)
        draws.uniform((1, 2), (0,), "float32")
    assert seen == [480, 960, 240]
