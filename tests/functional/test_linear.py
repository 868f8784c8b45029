import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.testing.strategies import arrays, shapes


@given(data=st.data())
def test_equals_its_formula(data):
    *leading, n = data.draw(shapes(1, 4))
    m = data.draw(st.integers(1, 4))
    x, weight, bias = data.draw(arrays((*leading, n))), data.draw(arrays((n, m))), data.draw(arrays((m,)))
    y, _ = F.linear(x, weight, bias)
    np.testing.assert_allclose(y, np.einsum("...n,nm->...m", x, weight) + bias, rtol=1e-13)
    without, _ = F.linear(x, weight)
    np.testing.assert_allclose(without, y - bias, atol=1e-13)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "culprit"),
    [
        ((2, 3), (4, 5), None, "x (..., n) and weight (n, m) do not fit: shapes (2, 3) and (4, 5)"),
        ((), (4, 5), None, "x (..., n) and weight (n, m) do not fit: shapes () and (4, 5)"),
        ((2, 4), (4, 5), (4,), "bias must have shape (5,) (weight's columns), not (4,)"),
        ((2, 4), (4,), None, "x (..., n) and weight (n, m) do not fit: shapes (2, 4) and (4,)"),
    ],
)
def test_shapes_that_do_not_fit(backend, x, weight, bias, culprit):
    args = [None if shape is None else backend.asarray(np.ones(shape)) for shape in (x, weight, bias)]
    with pytest.raises(ValueError, match=f"^{re.escape(f'linear: {culprit}')}$"):
        F.linear(*args)


def test_arrays_of_two_libraries_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"linear: weight is an array of .*torch but x of .*numpy"):
        F.linear(np.ones((1, 1)), torch.ones((1, 1), dtype=torch.float64))
