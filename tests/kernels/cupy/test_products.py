import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

cupy = pytest.importorskip("cupy")

from xnn.kernels.cupy.products import multiply, multiply_stack  # noqa: E402

SIZES = st.integers(1, 9)
TYPES = st.sampled_from([("e", "e"), ("e", "f"), ("f", "f")])
LAYOUTS = st.sampled_from(["rows", "columns", "some rows", "some columns", "every other column", "broadcast"])


def matrix(generator, shape, dtype, layout):
    """Return a matrix, or a stack of them, as a view of that layout."""
    *stack, rows, columns = shape

    def numbers(*shape):
        return cupy.asarray(generator.standard_normal((*stack, *shape)).astype(dtype))

    return {
        "rows": lambda: numbers(rows, columns),
        "columns": lambda: numbers(columns, rows).swapaxes(-1, -2),
        "some rows": lambda: numbers(rows + 3, columns)[..., 1 : 1 + rows, :],
        "some columns": lambda: numbers(rows, columns + 3)[..., 2 : 2 + columns],
        "every other column": lambda: numbers(rows, 2 * columns)[..., ::2],
        "broadcast": lambda: cupy.broadcast_to(numbers(1, columns), shape),
    }[layout]()


def expected(a, b, alpha, beta, before):
    wide = np.matmul(a.get().astype(np.float64), b.get().astype(np.float64))
    return alpha * wide + (beta * before.get().astype(np.float64) if beta else 0.0)


def assert_close(out, numbers):
    assert out.shape == numbers.shape
    scale = max(np.abs(numbers).max(), 1.0)
    np.testing.assert_allclose(out.get(), numbers, rtol=0.0, atol=scale * {"e": 1e-3, "f": 1e-6}[out.dtype.char])


@given(m=SIZES, k=SIZES, n=SIZES, types=TYPES, a_layout=LAYOUTS, b_layout=LAYOUTS, seed=st.integers(0, 99))
def test_the_product_of_two_matrices_in_any_layout(m, k, n, types, a_layout, b_layout, seed):
    generator, (given_type, out_type) = np.random.default_rng(seed), types
    a = matrix(generator, (m, k), given_type, a_layout)
    b = matrix(generator, (k, n), given_type, b_layout)
    out = multiply(a, b, dtype=out_type)
    assert out.dtype.char == out_type
    assert_close(out, expected(a, b, 1.0, 0.0, out))


@given(
    batch=st.integers(1, 4),
    sizes=st.tuples(SIZES, SIZES, SIZES),
    types=TYPES,
    layouts=st.tuples(LAYOUTS, LAYOUTS),
    alpha=st.sampled_from([1.0, -2.5]),
    beta=st.sampled_from([0.0, 1.0, 0.5]),
    seed=st.integers(0, 99),
)
def test_stacked_products_are_scaled_and_added(batch, sizes, types, layouts, alpha, beta, seed):
    generator, (given_type, out_type), (m, k, n) = np.random.default_rng(seed), types, sizes
    a = matrix(generator, (batch, m, k), given_type, layouts[0])
    b = matrix(generator, (batch, k, n), given_type, layouts[1])
    around = matrix(generator, (m, batch, n + 1), out_type, "rows")
    out = around.swapaxes(0, 1)[..., :n]
    before, beside = out.copy(), around[..., n].copy()
    assert multiply_stack(a, b, out, alpha, beta) is out
    assert_close(out, expected(a, b, alpha, beta, before))
    assert (around[..., n] == beside).all()


@given(sizes=st.tuples(SIZES, SIZES, SIZES), types=TYPES, seed=st.integers(0, 99))
def test_a_product_is_added_to_rows_that_lie_apart(sizes, types, seed):
    generator, (given_type, out_type), (m, k, n) = np.random.default_rng(seed), types, sizes
    a, b = matrix(generator, (m, k), given_type, "rows"), matrix(generator, (k, n), given_type, "rows")
    out = matrix(generator, (m, n), out_type, "some columns")
    before = out.copy()
    assert multiply(a, b, out, beta=1.0) is out
    assert_close(out, expected(a, b, 1.0, 1.0, before))


def test_without_beta_what_out_held_does_not_matter():
    a, b = cupy.ones((2, 3), "f"), cupy.ones((3, 2), "f")
    assert (multiply(a, b, cupy.full((2, 2), np.nan, "f")) == 3.0).all()
    assert (multiply_stack(a[None], b[None], cupy.full((1, 2, 2), np.nan, "f"), 2.0) == 6.0).all()


def test_a_float32_result_keeps_what_float16_cannot_hold():
    a, b = cupy.full((1, 5000), 4.0, "e"), cupy.full((5000, 1), 4.0, "e")
    assert float(multiply(a, b, dtype="f")[0, 0]) == 80_000.0


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_sum_of_no_terms_is_zero(beta):
    a, b, before = cupy.empty((2, 0), "f"), cupy.empty((0, 3), "f"), cupy.ones((2, 3), "f")
    assert (multiply(a, b, before, beta) == beta).all()
    assert (multiply_stack(a[None], b[None], before[None], 1.0, beta) == beta * beta).all()


def test_what_does_not_fit_is_refused():
    a = cupy.ones((2, 3), "f")
    for wrong in (a, a.T.astype("e"), a.T.astype("d"), a.T[None]):
        with pytest.raises(ValueError, match="cannot multiply"):
            multiply(a, wrong)
    with pytest.raises(ValueError, match="cannot multiply"):
        multiply(a, a.T, cupy.empty((2, 2), "e"))
    with pytest.raises(ValueError, match="contiguous"):
        multiply(a, a.T, cupy.empty((2, 4), "f")[:, ::2])


def test_products_of_float32_are_in_tf32_where_cupy_is_told_so():
    from cupy._core import _routines_linalg as linalg

    from xnn._tf32 import cupy_products

    a = cupy.full((1, 1), 1.0 + 2.0**-12, "f")
    results = []
    for tf32 in (False, True):
        with cupy_products(linalg)(tf32):
            results.append((float(multiply(a, a)[0, 0]), float(multiply_stack(a[None], a[None])[0, 0, 0])))
    assert results[0][0] == results[0][1] > 1.0
    # Rounded to ten bits, both factors are 1; a device without TF32 computes in full.
    assert results[1] in ((1.0, 1.0), results[0])
