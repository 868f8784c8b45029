"""The twin of a chain of functions equals the references, one after the other, or declines."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F

pytest.importorskip("numba")
from tests.kernels.numpy.chains import Declined, chain, composed
from xnn.kernels.table import NUMPY
from xnn.testing import check_twin

TESTED = {
    *[(norm, activation) for norm in ("batch_norm", "batch_norm_inference") for activation in ("relu", "gelu")],
    *[("linear", "relu"), ("relu", "max_pool2d"), ("conv2d", "max_pool2d"), ("conv2d", "relu", "max_pool2d")],
}


def whole(seed, *shape, least=-4, most=4):
    """Whole numbers: sums of them are exact, so that no sum is so near 0 that rounding decides its sign."""
    return np.random.default_rng(seed).integers(least, most + 1, shape).astype(np.float32)


def test_every_chain_is_tested():
    assert {row.names for row in NUMPY if len(row.names) > 1} == TESTED


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@given(rows=st.integers(2, 400), channels=st.integers(1, 70), eps=st.sampled_from([1e-5, 0.1]), seed=st.integers(0, 99))
def test_batch_norm_and_what_follows(activation, rows, channels, eps, seed):
    x, weight, mean = whole(seed, rows, channels), whole(seed, channels, least=1), whole(seed, channels, least=1)
    # A shift that is no whole number, for the same reason.
    args, follows = (x, weight, np.full(channels, 0.123, np.float32)), getattr(F, activation)
    arguments, bounds = ["none"] if activation == "gelu" else [], {"rtol": 1e-2, "atol": 1e-4}
    twin = chain(["batch_norm", activation], [eps, None], arguments)
    check_twin(composed(partial(F.batch_norm, eps=eps), follows), twin, args, **bounds)
    statistics = mean, np.ones(channels, np.float32)
    twin = chain(["batch_norm_inference", activation], [*statistics, eps], arguments)
    check_twin(composed(lambda *a: F.batch_norm_inference(*a, *statistics, eps), follows), twin, args, **bounds)


@given(rows=st.integers(1, 40), inputs=st.integers(1, 40), outputs=st.integers(1, 40), has_bias=st.booleans())
def test_linear_and_relu(rows, inputs, outputs, has_bias):
    args = whole(0, rows, inputs), whole(1, inputs, outputs), whole(2, outputs) if has_bias else None
    check_twin(composed(F.linear, F.relu), chain(["linear", "relu"], [], []), args)


@given(
    images=st.integers(1, 3),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.integers(1, 20),
    data=st.data(),
)
def test_relu_and_pooling(images, sides, channels, data):
    window = tuple(data.draw(st.integers(1, side)) for side in sides)
    pool = partial(F.max_pool2d, window=window)
    # Equal numbers in a window too: the first of them gets the gradient, in whichever order.
    x = whole(data.draw(st.integers(0, 9)), images, *sides, channels)
    check_twin(composed(F.relu, pool), chain(["relu", "max_pool2d"], [], [window, window, 0]), (x,))
    x[0, 0, 0, 0] = np.nan
    found, _ = chain(["relu", "max_pool2d"], [], [window, window, 0])(x)
    np.testing.assert_array_equal(found, composed(F.relu, pool)(x)[0])


@pytest.mark.parametrize("between", [[], ["relu"]])
@pytest.mark.parametrize("window", [2, (3, 2), (9, 15)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_convolution_and_pooling(between, window, has_bias, monkeypatch):
    monkeypatch.setattr("xnn.kernels.numpy.conv._WINOGRAD_PRODUCT", 0)
    pool = partial(F.max_pool2d, window=window)
    arguments = [1, 1, 1, 1], *[[]] * len(between), [window, None, 0]
    twin = chain(["conv2d", *between, "max_pool2d"], *arguments)
    reference = composed(partial(F.conv2d, padding=1), *[F.relu] * len(between), pool)
    generator = np.random.default_rng(0)
    x, weight = (generator.normal(size=size).astype(np.float32) for size in ((4, 18, 18, 20), (3, 3, 20, 20)))
    bias = generator.normal(size=20).astype(np.float32) if has_bias else None
    check_twin(reference, twin, (x, weight, bias), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "parameters", "rest", "others"),
    [
        (["linear", "relu"], [(3, 2), (2,)], [], [[]]),
        (["batch_norm", "relu"], [(3,), (3,)], [1e-5, None], [[]]),
        (["batch_norm_inference", "relu"], [(3,), (3,)], [np.zeros(3), np.ones(3), 1e-5], [[]]),
        (["relu", "max_pool2d"], [], [], [[2, 2, 0]]),
        (["conv2d", "max_pool2d"], [(1, 1, 3, 2), (2,)], [1, 0, 1, 1], [[2, 2, 0]]),
    ],
)
def test_a_twin_of_a_chain_declines_float64(names, parameters, rest, others):
    with pytest.raises(Declined):
        chain(names, rest, *others)(np.ones((4, 4, 4, 3)), *(np.ones(shape) for shape in parameters))


@pytest.mark.parametrize(("groups", "pool"), [(1, [3, 2, 0]), (1, [2, 2, 1]), (2, [2, 2, 0])])
def test_the_twin_of_convolution_and_pooling_declines_other_windows(groups, pool, monkeypatch):
    monkeypatch.setattr("xnn.kernels.numpy.conv._WINOGRAD_PRODUCT", 0)
    x, weight = np.ones((4, 18, 18, 32), np.float32), np.ones((3, 3, 32 // groups, 32), np.float32)
    with pytest.raises(Declined):
        chain(["conv2d", "max_pool2d"], [1, 1, 1, groups], pool)(x, weight, None)


def test_the_twin_of_batch_norm_declines_another_gelu():
    x = np.ones((4, 3), np.float32)
    with pytest.raises(Declined):
        chain(["batch_norm", "gelu"], [None, None, 1e-5, None], ["tanh"])(x)
