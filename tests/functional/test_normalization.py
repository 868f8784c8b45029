import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.testing.strategies import arrays, shapes

from .peer import assert_equals_torch, dy_like


@st.composite
def batches(draw, min_dims=2):
    """Draw x (..., c) whose channels each vary, a weight and a bias."""
    shape = draw(shapes(min_dims, 4, min_side=2))
    x = draw(arrays(shape, distinct=True))
    return x, draw(arrays(shape[-1:])), draw(arrays(shape[-1:]))


@given(batch=batches())
def test_batch_norm_makes_mean_zero_and_variance_one(backend, batch):
    x, _, _ = batch
    y = backend.to_numpy(F.batch_norm(backend.asarray(x), eps=1e-12)[0])
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(y.mean(axes), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.var(axes), 1.0, rtol=1e-8)


@given(batch=batches())
def test_batch_norm_gradient_is_orthogonal_to_constants_and_to_the_normalized_input(backend, batch):
    """Since y changes neither when x is shifted nor (but for eps) when it is scaled."""
    x, weight, bias = batch
    y, pullback = F.batch_norm(*map(backend.asarray, batch), eps=1e-12)
    dy = dy_like(x)
    dx, _, _ = map(backend.to_numpy, pullback(backend.asarray(dy)))
    axes = tuple(range(x.ndim - 1))
    normalized = (backend.to_numpy(y) - bias) / weight
    # Of the terms that cancel out in dx.
    scale = np.abs(dy * weight).sum(axes) / x.std(axes)
    np.testing.assert_allclose(dx.sum(axes) / scale, 0.0, atol=1e-13)
    np.testing.assert_allclose((dx * normalized).sum(axes) / scale, 0.0, atol=1e-9)


@given(batch=batches(), scale=st.floats(0.5, 20), shift=st.floats(-20, 20))
def test_batch_norm_undoes_an_affine_map_of_its_input(batch, scale, shift):
    x, weight, bias = batch
    y, _ = F.batch_norm(x, weight, bias, eps=1e-12)
    again, _ = F.batch_norm(scale * x + shift, weight, bias, eps=1e-12)
    np.testing.assert_allclose(again, y, rtol=0, atol=1e-7)


@given(batch=batches())
def test_statistics_that_are_known_change_nothing(batch):
    x, weight, bias = batch
    statistics = F.batch_norm_statistics(x)
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(statistics[0], x.mean(axes), rtol=0, atol=1e-13)
    np.testing.assert_allclose(statistics[1], x.var(axes), rtol=1e-12)
    y, pullback = F.batch_norm(x, weight, bias)
    again, again_pullback = F.batch_norm(x, weight, bias, statistics=statistics)
    np.testing.assert_array_equal(again, y)
    for found, expected in zip(again_pullback(dy_like(x)), pullback(dy_like(x)), strict=True):
        np.testing.assert_array_equal(found, expected)
    # And are not computed once more: wrong ones are taken at their word.
    assert np.all(np.isnan(F.batch_norm(x, statistics=(np.full_like(statistics[0], np.nan), statistics[1]))[0]))


@given(batch=batches())
def test_inference_with_the_batch_statistics_equals_training(batch):
    x, weight, bias = batch
    y, _ = F.batch_norm_inference(x, weight, bias, *F.batch_norm_statistics(x))
    np.testing.assert_allclose(y, F.batch_norm(x, weight, bias)[0], rtol=0, atol=1e-10)


@given(batch=batches())
def test_layer_norm_makes_each_position_mean_zero_and_variance_one(batch):
    x, _, _ = batch
    y, pullback = F.layer_norm(x, eps=1e-12)
    np.testing.assert_allclose(y.mean(-1), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.var(-1), 1.0, rtol=1e-8)
    dx, _, _ = pullback(dy_like(x))
    np.testing.assert_allclose(dx.sum(-1), 0.0, atol=1e-8)
    np.testing.assert_allclose((dx * y).sum(-1), 0.0, atol=1e-7)


@given(batch=batches())
def test_both_equal_torch(batch):
    peers = pytest.importorskip("torch").nn.functional

    def batch_norm(x, weight, bias):
        return peers.batch_norm(x.movedim(-1, 1), None, None, weight, bias, True).movedim(1, -1)

    assert_equals_torch(F.batch_norm, batch_norm, *batch, atol=1e-9)
    assert_equals_torch(F.layer_norm, lambda x, *more: peers.layer_norm(x, x.shape[-1:], *more), *batch, atol=1e-9)


def test_a_large_mean_does_not_swamp_the_variance(backend):
    x = backend.asarray(1e4 + np.random.default_rng(0).standard_normal((256, 3)), "float32")
    mean, variance = map(backend.to_numpy, F.batch_norm_statistics(x))
    reference = backend.to_numpy(x).astype("float64")
    np.testing.assert_allclose(mean, reference.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, reference.var(0), rtol=1e-3)


@pytest.mark.parametrize("function", [F.batch_norm, F.layer_norm])
@pytest.mark.parametrize(
    ("x", "weight", "bias", "culprit"),
    [
        ((2, 3), (2,), None, r"weight must have shape \(3,\) \(x's last axis\), not \(2,\)"),
        ((2, 3), None, (3, 1), r"bias must have shape \(3,\)"),
        ((), None, None, "x must have at least one axis"),
    ],
)
def test_shapes_that_do_not_fit(function, x, weight, bias, culprit):
    args = [None if shape is None else np.ones(shape) for shape in (x, weight, bias)]
    with pytest.raises(ValueError, match=f"{function.__name__}: {culprit}"):
        function(*args)


def test_other_mistakes_are_named():
    x = np.ones((2, 3))
    for shape in ((0, 3), (2, 0, 3)):
        message = re.escape(f"batch_norm: an empty batch has no mean and variance (shape {shape})")
        with pytest.raises(ValueError, match=f"^{message}$"):
            F.batch_norm(np.ones(shape))
    with pytest.raises(ValueError, match=r"batch_norm_inference: variance must have shape \(3,\)"):
        F.batch_norm_inference(x, None, None, np.ones(3), np.ones(2))
    message = "^batch_norm_statistics: x must be an array of floating-point numbers, not int64$"
    with pytest.raises(TypeError, match=message):
        F.batch_norm_statistics(np.ones((2, 3), dtype="int64"))
