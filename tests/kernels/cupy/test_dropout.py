"""Dropout on CuPy sets the same numbers to zero as the reference, and keeps no mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")
import cupy

from xnn import functional as F
from xnn.backends import backend as make_backend
from xnn.kernels.cupy.dropout import dropout
from xnn.kernels.cupy.launching import FOLDER, OPTIONS, watched
from xnn.random import Random, _mix
from xnn.testing import check_twin

both_types = pytest.mark.parametrize("dtype", ["float32", "float16"])
CUPY = make_backend("cupy")
WORDS = """
__global__ void words(const long long* positions, long long* out, long long key0, long long key1) {
  out[threadIdx.x] = word(positions[threadIdx.x], key0, key1);
}
"""


@both_types
@given(
    shape=st.sampled_from([(1,), (7,), (3, 5), (2, 3, 4, 8), (2051,)]),
    rate=st.sampled_from([0.0, 0.1, 0.5, 0.999]) | st.floats(0.0, 0.95),
    seed=st.integers(0, 99),
)
def test_equals_the_reference(dtype, shape, rate, seed):
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    check_twin(F.dropout, dropout, (x, rate, Random(CUPY, seed, "dropout")), backend="cupy")


@both_types
def test_the_mask_is_the_same_in_every_call_of_the_pullback_and_the_stream_goes_on(dtype):
    random, other = Random(CUPY, 3), Random(CUPY, 3)
    ones = CUPY.asarray(np.ones((50, 9), dtype))
    masks = []
    for _ in range(2):
        y, pullback = dropout(ones, 0.4, random)
        expected, _ = F.dropout(ones, 0.4, other)
        assert bool((y == expected).all())
        for _ in range(2):
            assert bool((pullback(ones) == y).all())
        masks.append(y)
    assert random.counter == other.counter == 2
    assert not bool((masks[0] == masks[1]).all())


def test_positions_beyond_32_bits_are_drawn_as_the_reference_draws_them():
    # The mask of so many numbers would take too long, so the hash is compared at some places.
    positions = np.array([*range(5), 2**31, 2**32 - 1, 2**32, 2**32 + 7, 5 * 2**33 + 12345, 2**45 + 99])
    code = (FOLDER / "dropout.cu").read_text(encoding="utf-8") + WORDS
    kernel = cupy.RawModule(code=code, options=OPTIONS, name_expressions=["words"]).get_function("words")
    key0, key1 = 0xDEADBEEF, 0x12345678
    found = cupy.zeros(len(positions), np.int64)
    kernel((1,), positions.shape, (cupy.asarray(positions), found, key0, key1))
    with np.errstate(over="ignore"):
        expected = _mix(_mix(positions ^ key0) ^ key1)
    np.testing.assert_array_equal(cupy.asnumpy(found), expected)


@pytest.mark.parametrize("x", [np.ones((6, 5)), np.ones((0, 5), np.float32), np.ones((4, 6), np.float32).T], ids=str)
def test_the_reference_serves_what_the_kernel_does_not(x):
    check_twin(F.dropout, dropout, (x, 0.5, Random(CUPY, 1)), backend="cupy")


@both_types
def test_the_gradient_of_any_dy(dtype):
    x = CUPY.asarray(np.ones((6, 8), dtype))
    _, pullback = dropout(x, 0.5, Random(CUPY, 1))
    _, expected_pullback = F.dropout(x, 0.5, Random(CUPY, 1))
    numbers = np.random.default_rng(0).standard_normal((8, 6))
    for dy in (CUPY.asarray(numbers.astype(dtype)).T, CUPY.asarray(numbers.T.copy())):
        found, expected = pullback(dy), expected_pullback(dy)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(CUPY.to_numpy(found), CUPY.to_numpy(expected), rtol=1e-3)


@both_types
def test_one_launch_each_way(dtype):
    seen = []
    x = CUPY.asarray(np.ones((60, 8), dtype))
    with watched(lambda kernel, moved: seen.append(moved)):
        _, pullback = dropout(x, 0.5, Random(CUPY, 1))
        pullback(x)
    assert seen == [2 * x.nbytes] * 2


def test_wrong_arguments_raise_the_references_errors():
    with pytest.raises(ValueError, match="dropout: rate"):
        dropout(CUPY.asarray(np.ones(3, np.float32)), 1.0, Random(CUPY, 0))
