import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

cupy = pytest.importorskip("cupy")

from xnn import functional as F  # noqa: E402
from xnn import kernels  # noqa: E402
from xnn.backends import backend as make_backend  # noqa: E402
from xnn.kernels.cupy.launching import watched  # noqa: E402
from xnn.kernels.cupy.linear import add_bias  # noqa: E402
from xnn.testing import check_twin  # noqa: E402
from xnn.testing.strategies import shapes  # noqa: E402

TYPES = st.sampled_from(["float16", "float32"])


@pytest.fixture(scope="module")
def functions():
    return kernels.functions(make_backend("cupy", twins=True))


def composed(x, weight, bias):
    """The chain's parts, one by one."""
    z, inner = F.linear(x, weight, bias)
    y, outer = F.relu(z)
    return y, lambda dy, needs=(True, True, True): inner(outer(dy), needs)


def drawn(seed, dtype, *shapes):
    """Return arrays of small whole numbers, whose sums are exact in any type."""
    generator = np.random.default_rng(seed)
    return [None if shape is None else generator.integers(-2, 3, shape).astype(dtype) for shape in shapes]


@settings(max_examples=30)
@given(
    leading=shapes(0, 3),
    n=st.integers(1, 20),
    m=st.integers(1, 20),
    dtype=TYPES,
    with_bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_the_reference(functions, leading, n, m, dtype, with_bias, seed):
    arrays = drawn(seed, dtype, (*leading, n), (n, m), (m,) if with_bias else None)
    # Sums of float16, whose terms are up to 6, are rounded in other places.
    check_twin(F.linear, functions.linear, arrays, backend="cupy", atol=0.03 if dtype == "float16" else 0.0)


@settings(max_examples=30)
@given(leading=shapes(0, 3), n=st.integers(1, 20), m=st.integers(1, 20), dtype=TYPES, seed=st.integers(0, 99))
def test_with_relu_it_equals_both(functions, leading, n, m, dtype, seed):
    chain = kernels._written(functions.twin("linear", "relu"))
    arrays = drawn(seed, dtype, (*leading, n), (n, m), (m,))

    def twin(x, weight, bias):
        return chain(x, (weight, bias), ())

    check_twin(composed, twin, arrays, backend="cupy", atol=0.03 if dtype == "float16" else 0.0)


@pytest.mark.parametrize("activation", ["Identity", "Relu"])
def test_a_bias_is_added_to_more_rows_and_columns_than_a_grid_has(activation):
    y, bias = map(cupy.asarray, drawn(0, "float32", (5000, 257), (257,)))
    y[3, 5] = np.nan
    expected = y.get() + bias.get()
    add_bias(y, bias, activation)
    np.testing.assert_array_equal(y.get(), np.maximum(expected, 0.0) if activation == "Relu" else expected)


def test_the_gradient_of_the_bias_is_an_array_of_its_own(functions):
    x, weight, bias, dy = map(cupy.asarray, drawn(0, "float32", (1, 3), (3, 2), (2,), (1, 2)))
    for pullback in (functions.linear(x, weight, bias)[1], functions.twin("linear", "relu")(x, (weight, bias), ())[1]):
        assert not cupy.may_share_memory(pullback(dy)[2], dy)


def test_after_relu_a_gradient_that_is_the_same_for_all_rows_may_be_given_once(functions):
    x, weight, bias, dy = map(cupy.asarray, drawn(0, "float32", (64, 3), (3, 8), (8,), (1, 8)))
    _, pullback = kernels._written(functions.twin("linear", "relu"))(x, (weight, bias), ())
    _, reference = composed(x, weight, bias)
    for found, expected in zip(pullback(dy), reference(dy), strict=True):
        np.testing.assert_array_equal(found.get(), expected.get())


@pytest.mark.parametrize("rows", [1, 100])
def test_a_step_takes_few_launches(functions, rows):
    x, weight, bias = map(cupy.asarray, drawn(0, "float16", (rows, 6), (6, 8), (8,)))
    seen, place = [], cupy.empty(weight.shape, "f")
    with watched(lambda name, moved: seen.append((name, moved))):
        y, pullback = functions.twin("linear", "relu")(x, (weight, bias), ())
        _, dweight, _ = pullback(y)
        assert dweight.write(place) is place
    numbers = 2 * y.size
    assert seen[:2] == [
        ("add_bias<__half, 8, Relu>", 2 * numbers + bias.nbytes),
        ("pullback<Relu, __half>", 3 * numbers),
    ]
    assert [name for name, _ in seen[2:]] == ["sum_rows<__half, 4>"]


def test_the_gradient_of_a_weight_is_added_up_in_float32(functions):
    """In float16 it would be infinite."""
    x, dy = cupy.full((5000, 1), 4.0, "e"), cupy.full((5000, 1), 4.0, "e")
    _, pullback = functions.linked("linear")(x, cupy.ones((1, 1), "e"))
    place = cupy.empty((1, 1), "f")
    pullback(dy)[1].write(place)
    assert float(place[0, 0]) == 80_000.0
