import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.functional.windows import scatter, take, windows
from xnn.testing.strategies import arrays, conv_geometries


@given(geometry=conv_geometries(), data=st.data())
def test_scatter_is_the_adjoint_of_take(geometry, data):
    options = {name: geometry.options[name] for name in ("stride", "padding", "dilation")}
    of = windows("test", geometry.x[1:3], geometry.weight[:2], **options)
    x = data.draw(arrays(geometry.x))
    taken = take(of, x)
    pieces = list(np.random.default_rng(0).standard_normal((len(taken), *taken[0].shape)))
    inner = sum(np.sum(a * b) for a, b in zip(taken, pieces, strict=True))
    np.testing.assert_allclose(np.sum(x * scatter(of, pieces)), inner, rtol=0, atol=1e-9)
    # A piece that no tap takes would be lost without a word.
    with pytest.raises(ValueError, match="longer"):
        scatter(of, [*pieces, pieces[0]])


@given(size=st.tuples(st.integers(3, 9), st.integers(3, 9)), kernel=st.integers(1, 3))
def test_windows_touch_and_are_unpadded_unless_told(size, kernel):
    assert windows("test", size, kernel) == windows("test", size, (kernel, kernel), (1, 1), "valid", (1, 1))
