import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.functional.shaping import _inferred
from xnn.testing.strategies import arrays, shapes


@given(x=shapes(1, 4, min_side=0).flatmap(arrays))
def test_flatten_and_back_is_the_identity(backend, x):
    y, pullback = F.flatten(backend.asarray(x))
    assert y.shape == (x.shape[0], x[0].size if len(x) else int(np.prod(x.shape[1:])))
    np.testing.assert_array_equal(backend.to_numpy(y).ravel(), x.ravel())
    np.testing.assert_array_equal(backend.to_numpy(pullback(y)), x)


@given(x=shapes(1, 4).flatmap(arrays), data=st.data())
def test_reshape_keeps_the_order(x, data):
    shape = data.draw(st.sampled_from([(x.size,), (1, x.size), (-1, 1), (*x.shape[::-1],), (x.shape[0], -1)]))
    y, pullback = F.reshape(x, shape)
    np.testing.assert_array_equal(y, x.reshape(shape))
    np.testing.assert_array_equal(pullback(y), x)
    # Not left to the library, since some refuse to where an axis is 0.
    assert _inferred(x.shape, shape) == x.reshape(shape).shape


@given(x=shapes(1, 3).flatmap(arrays))
def test_adding_zero_is_the_identity(x):
    y, pullback = F.add(np.zeros_like(x), x)
    np.testing.assert_array_equal(y, x)
    da, db = pullback(x)
    np.testing.assert_array_equal(da, x)
    np.testing.assert_array_equal(db, x)
    with pytest.raises(ValueError, match="longer"):
        pullback(x, needs=(True, True, True))


@given(data=st.data())
def test_the_pieces_of_a_concatenation_come_back(backend, data):
    shape = list(data.draw(shapes(1, 4)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    pieces = []
    for length in data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)):
        shape[axis] = length
        pieces.append(data.draw(arrays(tuple(shape))))
    y, pullback = F.concatenate([backend.asarray(piece) for piece in pieces], axis)
    np.testing.assert_array_equal(backend.to_numpy(y), np.concatenate(pieces, axis))
    for piece, back in zip(pieces, pullback(y), strict=True):
        np.testing.assert_array_equal(backend.to_numpy(back), piece)


ONES = np.ones((2, 3))
SHAPES = ((4, -1), (-1, -1), (5,), (-2, -3), (-1, -2), (-1, -2, -3))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_of_another_size_is_named(backend, shape):
    message = re.escape(f"reshape: an array of shape (2, 3) cannot take the shape {shape}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        F.reshape(backend.asarray(ONES), shape)


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (F.flatten, ([1.0],), TypeError, "x must be an array, not list"),
        (F.flatten, (np.ones(()),), ValueError, "x must have a batch axis"),
        (F.reshape, ([1.0], (1,)), TypeError, "x must be an array, not list"),
        (F.add, (ONES, np.ones((2, 2))), ValueError, "shapes (2, 3) and (2, 2) do not broadcast to one"),
        (F.concatenate, ([],), ValueError, "give at least one array"),
        (F.concatenate, ([ONES, np.ones((3, 3))],), ValueError, "shapes (2, 3), (3, 3) differ in more than axis -1"),
        (F.concatenate, ([ONES, np.ones(3)], 0), ValueError, "shapes (2, 3), (3,) differ in more than axis 0"),
        (F.concatenate, ([np.ones(3)], 1), ValueError, "there is no axis 1 in arrays of shape (3,)"),
    ],
)
def test_what_does_not_fit_is_named(function, arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(f'{function.__name__}: {message}')}$"):
        function(*arguments)
