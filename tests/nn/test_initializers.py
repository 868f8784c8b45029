import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn import nn
from xnn.backends import backend as make_backend
from xnn.nn import initializers
from xnn.random import Random

NUMPY = make_backend("numpy")
SHAPES = [(400, 300), (3, 5, 20, 400)]


def draw(name, shape, seed=0, **options):
    return getattr(initializers, name)(shape, Random(NUMPY, seed, "test"), **options)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("kaiming_normal", None),
        ("kaiming_uniform", None),
        ("xavier_normal", None),
        ("kaiming_normal", 1.0),
        ("xavier_uniform", 2.0),
    ],
)
def test_variance(name, gain, shape):
    taps = math.prod(shape[:-2])
    fan_in, fan_out = taps * shape[-2], taps * shape[-1]
    options = {} if gain is None else {"gain": gain}
    if name.startswith("kaiming"):
        expected = (gain or math.sqrt(2)) ** 2 / fan_in
    else:
        expected = (gain or 1.0) ** 2 * 2 / (fan_in + fan_out)
    values = draw(name, shape, **options)
    assert values.shape == shape
    assert values.dtype == np.float64
    # 120,000 numbers: the standard error of their variance is at most 0.4 %.
    np.testing.assert_allclose(values.var(), expected, rtol=0.02)
    assert abs(values.mean()) < 5 * math.sqrt(expected / values.size)
    if name.endswith("uniform"):
        assert np.max(np.abs(values)) <= math.sqrt(3 * expected)
        assert np.max(np.abs(values)) > 0.999 * math.sqrt(3 * expected)
    else:
        # Normal: the kurtosis is 3, a uniform's is 1.8.
        np.testing.assert_allclose(np.mean(values**4) / values.var() ** 2, 3.0, rtol=0.05)


def test_kaiming_keeps_the_variance_of_activations_through_many_layers():
    x = np.random.default_rng(0).standard_normal((256, 200))
    for depth in range(20):
        x, _ = F.relu(F.linear(x, draw("kaiming_normal", (200, 200), seed=depth))[0])
    assert 0.3 < np.mean(x**2) < 3.0


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 2) | st.tuples(*[st.integers(1, 4)] * 4), gain=st.sampled_from([1.0, 2.0])
)
def test_orthogonal(shape, gain):
    values = draw("orthogonal", shape, gain=gain)
    assert values.shape == shape
    matrix = values.reshape(-1, shape[-1])
    rows, columns = matrix.shape
    product = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    np.testing.assert_allclose(product, gain**2 * np.eye(min(rows, columns)), rtol=0, atol=1e-12)


def test_orthogonal_has_no_preferred_sign():
    """The Q of a plain QR has a diagonal of one sign."""
    signs = [np.sign(draw("orthogonal", (1, 1), seed=seed)).item() for seed in range(64)]
    assert 16 < sum(sign > 0 for sign in signs) < 48


@given(kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)), channels=st.integers(1, 3))
def test_dirac_is_the_identity(kernel, channels):
    weight = draw("dirac", (*kernel, channels, channels))
    x = np.random.default_rng(0).standard_normal((2, 5, 4, channels))
    np.testing.assert_array_equal(F.conv2d(x, weight, padding="same")[0], x)


def test_dirac_leaves_what_it_cannot_pass_on():
    assert draw("dirac", (3, 3, 2, 3)).sum() == 2.0
    assert draw("dirac", (3, 3, 3, 2)).sum() == 2.0
    with pytest.raises(ValueError, match=r"dirac: needs a filter \(kh, kw, c, o\), not the shape \(3, 3\)"):
        draw("dirac", (3, 3))


def test_zeros_and_ones():
    np.testing.assert_array_equal(draw("zeros", (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(draw("ones", (2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize("name", ["kaiming_normal", "xavier_uniform", "orthogonal"])
def test_a_shape_without_fans_is_named(name):
    for shape in ((3,), (0, 3)):
        with pytest.raises(ValueError, match="needs a weight of two or more axes, none of length 0"):
            draw(name, shape)


def test_layers_take_an_initializer():
    layer = nn.Linear(4, weight_initializer=initializers.orthogonal, bias_initializer=initializers.ones)
    layer.build((4,), backend="numpy", dtype="float64")
    weight = layer.parameters["weight"]
    np.testing.assert_allclose(weight.T @ weight, np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(layer.parameters["bias"], 1.0)


@given(kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)), inputs=st.integers(1, 6), outputs=st.integers(1, 9))
def test_partial_dirac_passes_channels_on_and_adds_random_ones(kernel, inputs, outputs):
    shape = (*kernel, inputs, outputs)
    values = draw("partial_dirac", shape)
    passed = min(inputs, outputs)
    np.testing.assert_array_equal(values[..., :passed], draw("dirac", shape)[..., :passed])
    rest = values[..., passed:]
    np.testing.assert_array_equal(rest, draw("kaiming_uniform", shape, gain=1 / math.sqrt(3))[..., passed:])
    assert np.abs(rest).max(initial=0.0) <= 1 / math.sqrt(math.prod(shape[:3]))
    assert (rest != 0).all()


def test_the_defaults_of_layers():
    model = nn.Sequential(nn.Conv2d(64, 3), nn.BatchNorm(), nn.Flatten(), nn.Linear(64))
    model.build((5, 5, 16), backend="numpy", dtype="float64")
    np.testing.assert_allclose(model.parameters["0.weight"].var(), 2 / (9 * 16), rtol=0.05)
    np.testing.assert_allclose(model.parameters["3.weight"].var(), 2 / (9 * 64), rtol=0.05)
    for name in ("0.bias", "1.bias", "3.bias"):
        np.testing.assert_array_equal(model.parameters[name], 0.0)
    np.testing.assert_array_equal(model.parameters["1.weight"], 1.0)
    np.testing.assert_array_equal(model.buffers["1.running_mean"], 0.0)
    np.testing.assert_array_equal(model.buffers["1.running_variance"], 1.0)
