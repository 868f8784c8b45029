import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.testing.strategies import arrays, pool_geometries

from . import naive
from .peer import assert_equals_torch, dy_like

POOLINGS = {"max": (F.max_pool2d, np.max, -np.inf), "average": (F.avg_pool2d, np.mean, 0.0)}
both = pytest.mark.parametrize(("function", "reduce", "fill"), POOLINGS.values(), ids=POOLINGS)


@both
@given(geometry=pool_geometries(), data=st.data())
def test_equals_a_loop_over_windows(function, reduce, fill, geometry, data):
    x = data.draw(arrays(geometry.x))
    y, _ = function(x, **geometry.options)
    np.testing.assert_allclose(y, naive.pool2d(x, **geometry.options, reduce=reduce, fill=fill), rtol=0, atol=1e-13)


@both
@given(
    window=st.integers(1, 3),
    stride=st.none() | st.integers(1, 3),
    sides=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    data=st.data(),
)
def test_equals_torch(function, reduce, fill, window, stride, sides, data):
    torch = pytest.importorskip("torch")
    padding = data.draw(st.integers(0, window // 2))
    x = data.draw(arrays((2, *sides, 2), distinct=True))
    peer = getattr(torch.nn.functional, function.__name__)

    def channels_last(x):
        return peer(x.permute(0, 3, 1, 2), window, stride, padding).permute(0, 2, 3, 1)

    assert_equals_torch(lambda x: function(x, window, stride, padding), channels_last, x)


@given(geometry=pool_geometries(), value=st.integers(-5, 5).map(lambda k: k + 0.25))
def test_a_constant_stays_that_constant(geometry, value):
    x = np.full(geometry.x, value)
    np.testing.assert_array_equal(F.max_pool2d(x, **geometry.options)[0], value)
    np.testing.assert_allclose(F.global_avg_pool2d(x)[0], value, rtol=1e-14)
    unpadded = geometry.options | {"padding": 0}
    if all(n >= k for n, k in zip(geometry.x[1:3], naive.pair(geometry.options["window"]), strict=True)):
        np.testing.assert_allclose(F.avg_pool2d(x, **unpadded)[0], value, rtol=1e-14)


@given(geometry=pool_geometries(), data=st.data())
def test_max_pooling_routes_each_gradient_once(backend, geometry, data):
    """Also where all taps are equal: the whole dy must arrive, once, at one of the largest."""
    x = data.draw(arrays(geometry.x, at=(0.5,)))
    y, pullback = F.max_pool2d(backend.asarray(x), **geometry.options)
    dy = 1.0 + np.abs(dy_like(backend.to_numpy(y)))
    dx = backend.to_numpy(pullback(backend.asarray(dy)))
    np.testing.assert_allclose(np.sum(dx, axis=(1, 2)), np.sum(dy, axis=(1, 2)), rtol=1e-12)
    assert np.count_nonzero(dx) <= dy.size


def test_of_equal_taps_the_first_gets_the_gradient(backend):
    _, pullback = F.max_pool2d(backend.asarray(np.ones((1, 2, 4, 1))), 2)
    dx = backend.to_numpy(pullback(backend.asarray(np.array([3.0, 5.0]).reshape(1, 1, 2, 1))))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[3.0, 0.0, 5.0, 0.0], [0.0, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize("window", [(16, 16), (1, 257), (17, 17)])
def test_a_window_of_many_taps_keeps_them_apart(window):
    """Up to 256 fit a byte; more do not."""
    x = np.zeros((1, *window, 1))
    x[0, -1, -1, 0] = 1.0
    _, pullback = F.max_pool2d(x, window)
    dx = pullback(np.ones((1, 1, 1, 1)))
    assert dx[0, -1, -1, 0] == 1.0
    assert np.sum(np.abs(dx)) == 1.0


@given(shape=st.tuples(*[st.integers(1, 4)] * 4), data=st.data())
def test_global_pooling_is_the_mean_over_pixels(shape, data):
    x = data.draw(arrays(shape))
    y, pullback = F.global_avg_pool2d(x)
    np.testing.assert_allclose(y, x.mean(axis=(1, 2)), rtol=0, atol=1e-13)
    np.testing.assert_allclose(pullback(np.ones(y.shape)), np.full(shape, 1.0 / (shape[1] * shape[2])), rtol=1e-14)


@given(shape=st.tuples(*[st.integers(1, 4)] * 4), seed=st.integers(0, 9))
def test_global_max_pooling_is_pooling_by_a_window_of_all_pixels(backend, shape, seed):
    """Also where several are the largest: of few different numbers many are equal."""
    x = np.random.default_rng(seed).integers(0, 3, shape).astype(np.float64)
    expected, expected_pullback = F.max_pool2d(x, shape[1:3])
    y, pullback = F.global_max_pool2d(backend.asarray(x))
    np.testing.assert_array_equal(backend.to_numpy(y), expected[:, 0, 0, :])
    dy = dy_like(expected)
    dx = backend.to_numpy(pullback(backend.asarray(dy[:, 0, 0, :])))
    np.testing.assert_array_equal(dx, expected_pullback(dy))


UNSEEN = "leaves windows of (2, 3) that see no pixel; each margin must be smaller than the window"
DOES_NOT_FIT = "does not fit the image's padded height of 1; use a smaller window or dilation, or more padding"


@pytest.mark.parametrize("function", [F.max_pool2d, F.avg_pool2d])
@pytest.mark.parametrize(
    ("shape", "options", "culprit"),
    [
        ((2, 4, 4), {"window": 2}, "x must have 4 axes (n, h, w, c), not the shape (2, 4, 4)"),
        ((1, 4, 4, 1), {"window": 0}, "kernel must be a positive integer or a pair of them, not 0"),
        ((1, 4, 4, 1), {"window": 2, "stride": -1}, "stride must be a positive integer or a pair of them, not -1"),
        *(
            ((1, 4, 4, 1), {"window": (2, 3), "padding": padding}, f"padding {padding} {UNSEEN}")
            for padding in (2, ((2, 0), (0, 0)), ((0, 2), (0, 0)), ((0, 0), (3, 0)), ((0, 0), (0, 3)))
        ),
        ((1, 1, 4, 1), {"window": 2}, f"a window that spans 2 pixels {DOES_NOT_FIT}"),
    ],
)
def test_bad_arguments_are_named(function, shape, options, culprit):
    with pytest.raises(ValueError, match=f"^{re.escape(f'{function.__name__}: {culprit}')}$"):
        function(np.ones(shape), **options)


@pytest.mark.parametrize("function", [F.global_avg_pool2d, F.global_max_pool2d])
def test_global_pooling_takes_images_alone(function):
    name = function.__name__
    with pytest.raises(ValueError, match=rf"^{name}: x must have 4 axes \(n, h, w, c\), not the shape \(2, 3\)$"):
        function(np.ones((2, 3)))
