"""Models in a lower precision: float32 from outside, each layer in the type that suits it inside."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nn.examples import EXAMPLES
from xnn import functional as F
from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.kernels import precisions
from xnn.nn.precision import Boundary

STEPS = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Half of the distance from 1 to the next number."""


def pairs(backends):
    return [(backend, precision) for backend in backends for precision in STEPS if precision in backend.precisions]


def built(make, shape, backend, precision):
    return make().build(shape, backend=backend, seed=3, precision=precision)


def pulled(model, x, train=True):
    """Return y, dx and the gradients for a fixed dy, on the host."""
    backend = model.backend
    y, pullback = model.forward(backend.asarray(x, "float32"), train=train)
    dy = np.random.default_rng(1).standard_normal(tuple(y.shape))
    dx = pullback(backend.asarray(dy, "float32"))
    return [backend.to_numpy(array, copy=True) for array in (y, dx, model.gradients.flat)]


def distance(a, b):
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)


def rounded(backend, precision, x):
    """Return x (NumPy) with its numbers rounded to a lower type, so that both types have them."""
    low = backend.xp.astype(backend.asarray(x, "float32"), backend.dtype(precision))
    return backend.to_numpy(backend.xp.astype(low, backend.dtype("float32")))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_layer_is_near_its_float32_self(example, backends):
    values = np.random.default_rng(0).standard_normal((6, *example.input_shape))
    for backend, precision in pairs(backends):
        x = rounded(backend, precision, values)
        found = pulled(built(example.make, example.input_shape, backend, precision), x)
        expected = pulled(built(example.make, example.input_shape, backend, "float32"), x)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == np.float32
            assert distance(a, b) < 4 * STEPS[precision], (backend, precision)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_layer_returns_the_type_that_it_was_given(example, backends):
    """So layers of all kinds can be put together in any way."""
    for backend, precision in pairs(backends):
        layer = example.make()
        nn.Sequential(layer).build(example.input_shape, backend=backend, precision=precision)
        for dtype in (backend.dtype(precision), backend.dtype("float32")):
            x = backend.xp.ones((2, *example.input_shape), dtype=dtype, device=backend.device)
            y, pullback = layer.forward(x, train=True)
            assert y.dtype == dtype
            assert pullback(y).dtype == dtype


class Seen(nn.Layer):
    """Notes the type of what passes."""

    arithmetic = "given"

    def forward(self, x, train=False):
        self.dtype_seen = x.dtype
        return self.connect((x, lambda dy: dy))


def test_products_are_low_and_norms_are_not(backends):
    for backend, precision in pairs(backends):
        seen = [Seen() for _ in range(4)]
        layers = seen[0], nn.Linear(4), seen[1], nn.BatchNorm(), seen[2], nn.ReLU(), nn.GELU(), seen[3], nn.Linear(2)
        model = nn.Sequential(*layers).build((3,), backend=backend, precision=precision)
        low, full = backend.dtype(precision), backend.dtype("float32")
        x = backend.xp.ones((5, 3), dtype=full, device=backend.device)
        assert model(x).dtype == full
        assert all(layer.dtype_seen == low for layer in seen)
        assert all(p.operand.dtype == low for p in (model[1].weight, model[8].weight, model[8].bias))
        assert model[3].weight.operand is model[3].weight.value
        for vector in (model.parameters.flat, model.gradients.flat, model.buffers.flat, model[1].weight.value):
            assert vector.dtype == full


@pytest.mark.parametrize("make", [nn.BatchNorm, nn.LayerNorm, nn.Softmax, nn.GELU, nn.SiLU])
def test_a_layer_that_computes_in_full_is_its_float32_self(make, backends):
    x = np.random.default_rng(0).standard_normal((6, 5))
    for backend, precision in pairs(backends):
        for a, b in zip(
            pulled(built(make, (5,), backend, precision), x),
            pulled(built(make, (5,), backend, "float32"), x),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_norms_of_large_numbers_stay_finite():
    """The square of 300 overflows float16, and 2000.5 is not one of its numbers."""
    x = np.float32(300.0) * np.asarray([[-1.0], [1.0], [1.0], [-1.0]], np.float32)
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm()).build((1,), backend="numpy", precision="float16")
    y, _ = model.forward(x, train=True)
    np.testing.assert_allclose(y, x / 300.0, rtol=1e-3)
    np.testing.assert_allclose(model.buffers["1.running_variance"], 0.9 + 0.1 * 90000 * 4 / 3, rtol=1e-6)


@pytest.mark.parametrize(("make", "shape"), [(lambda: nn.Linear(2), (3,)), (lambda: nn.Conv2d(2, 1), (4, 4, 3))])
def test_the_gradient_of_a_bias_is_added_up_in_float32(make, shape, backends):
    """Beyond 2048 in float16, 256 in bfloat16, adding 1 changes nothing."""
    images = 5001
    for backend, precision in pairs(backends):
        model = make().build(shape, backend=backend, precision=precision)
        y, pullback = model.forward(backend.asarray(np.zeros((images, *shape)), "float32"), train=True)
        pullback(backend.xp.ones_like(y), input_gradient=False)
        expected = images * math.prod(y.shape[1:-1])
        np.testing.assert_array_equal(backend.to_numpy(model.gradients["bias"]), expected)


def test_a_convolution_adds_up_its_blocks_in_float32(backends, monkeypatch):
    monkeypatch.setattr("xnn.functional.conv._BLOCK_ELEMENTS", 1)
    for backend, precision in pairs(backends):
        x = backend.xp.ones((4100, 1, 1, 1), dtype=backend.dtype(precision), device=backend.device)
        y, pullback = F.conv2d(x, x[:1, ...])
        _, dweight, _ = pullback(y, (False, True, False))
        assert float(dweight[0, 0, 0, 0]) == 4100.0


def small(backend="numpy", precision="float16", seed=0):
    layers = nn.Linear(6), nn.BatchNorm(), nn.ReLU(), nn.Linear(3)
    return nn.Sequential(*layers).build((4,), backend=backend, precision=precision, seed=seed)


def test_each_pass_sees_the_present_weights(backends):
    """However they were changed."""
    x = np.random.default_rng(0).standard_normal((5, 4))
    for backend, precision in pairs(backends):
        model, other = (small(backend, precision, seed) for seed in (0, 9))
        values = backend.asarray(x, "float32")

        def outputs(model, values=values, backend=backend):
            return backend.to_numpy(model(values), copy=True)

        first, second = outputs(model), outputs(other)
        average = optim.ExponentialMovingAverage(model, 0.5)
        model.load_state_dict(other.state_dict())
        np.testing.assert_array_equal(outputs(model), second)
        with average.applied():
            np.testing.assert_array_equal(outputs(model), first)
        np.testing.assert_array_equal(outputs(model), second)
        model[3].bias.value[...] += 1.0
        assert not np.array_equal(outputs(model), second)


def test_a_layer_inside_sees_the_present_weights_too(backends):
    """Called by itself, be it before the first pass of its model or after the weights have changed."""
    values = np.random.default_rng(0).standard_normal((5, 4))
    for backend, precision in pairs(backends):
        model, x = small(backend, precision), backend.asarray(values, "float32")
        for _ in range(2):
            alone = backend.to_numpy(model[0](x))
            expected = backend.to_numpy(F.linear(x, model[0].weight.value, model[0].bias.value)[0])
            assert distance(alone, expected) < 4 * STEPS[precision]
            model(x)
            model.parameters.flat[...] = 3.0 * model.parameters.flat + 1.0


def test_frozen_layers_are_low_too_and_get_no_gradient(backends):
    for backend, precision in pairs(backends):
        model = small(backend, precision)
        model.freeze("0")
        _, dx, gradients = pulled(model, np.ones((5, 4)))
        assert model[0].weight.operand.dtype == backend.dtype(precision)
        assert dx.shape == (5, 4)
        assert not np.any(backend.to_numpy(model.gradients["0.weight"]))
        assert np.any(gradients)


def test_gradients_that_nobody_needs_are_not_computed():
    model, x = small(), np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    y, pullback = model.forward(x, train=True)
    assert pullback(y, input_gradient=False) is None
    assert np.any(model.gradients.flat)
    model.freeze()
    _, pullback = model.forward(x, train=True)
    assert pullback(y, input_gradient=False) is None
    assert not np.any(model.gradients.flat)
    _, pullback = model.forward(x, train=True)
    assert pullback(y, input_gradient=True).dtype == np.float32


class Gate(nn.Layer):
    """A layer of a user's own, which knows of no precision: y = x * (1 + inner(x)) * scale."""

    def initialize(self, shape):
        self.scale = self.parameter("scale", shape[-1:], nn.initializers.ones)
        self.inner = nn.Linear(shape[-1])
        return self.child("inner", self.inner, shape)

    def forward(self, x, train=False):
        gate, inner_pullback = self.inner.forward(x, train)
        scale = self.scale.value

        def pullback(dy, input_gradient=True):
            self.scale.gradient[...] = self.backend.xp.sum(dy * x * (1.0 + gate), axis=0)
            return dy * scale * (1.0 + gate) + inner_pullback(dy * scale * x)

        return x * (1.0 + gate) * scale, pullback


@pytest.mark.parametrize("alone", [True, False])
def test_layers_of_users_work_as_they_are(alone, backends):
    x = np.random.default_rng(0).standard_normal((5, 4))
    for backend, precision in pairs(backends):

        def make():
            return Gate() if alone else nn.Sequential(nn.Linear(4), nn.ReLU(), Gate(), nn.Linear(3))

        found, expected = (pulled(built(make, (4,), backend, p), x) for p in (precision, "float32"))
        for a, b in zip(found, expected, strict=True):
            assert distance(a, b) < 30 * STEPS[precision]


def test_float32_is_left_alone(backend):
    model = small(backend, "float32")
    for layer in (model, *model.layers):
        assert not isinstance(layer.forward, Boundary)
    assert all(p.operand is p.value for p in (model[0].weight, model[0].bias, model[1].weight))


def test_a_model_can_be_built_anew_and_become_a_part_of_another():
    x = np.ones((2, 4), np.float32)
    model, expected = small(), small(precision="float32")(x)
    model.build((4,), backend="numpy")
    assert not isinstance(model.forward, Boundary)
    np.testing.assert_array_equal(model(x), expected)
    inner = small()
    outer = nn.Sequential(inner, nn.Linear(2)).build((4,), backend="numpy", precision="float16")
    assert outer(x).dtype == np.float32
    assert inner.forward(x.astype("float16"))[0].dtype == np.float16


@given(st.integers(0, 99))
def test_the_same_seed_gives_the_same_weights_in_every_precision(seed):
    a, b = (nn.Linear(3).build((4,), backend="numpy", seed=seed, precision=p) for p in ("float32", "float16"))
    np.testing.assert_array_equal(a.parameters.flat, b.parameters.flat)


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        ("numpy", {"precision": "half"}, "precision must be one of float32, tf32, float16, bfloat16, not 'half'"),
        ("numpy", {"precision": "bfloat16"}, "bfloat16 is not offered by numpy, which has float32, tf32, float16"),
        ("array_api_strict", {"precision": "tf32"}, "tf32 is not offered by array_api_strict:CPU_DEVICE"),
        ("array_api_strict", {"precision": "float16"}, "not offered by array_api_strict:CPU_DEVICE, which has float32"),
        ("numpy", {"precision": "float16", "dtype": "float64"}, "precision float16 is for dtype float32, not float64"),
    ],
)
def test_a_precision_that_a_backend_lacks_is_refused(monkeypatch, backend, options, message):
    monkeypatch.setenv("XNN_TWINS", "1")
    if backend != "numpy":
        pytest.importorskip(backend)
    with pytest.raises(ValueError, match=message):
        nn.Linear(3).build((4,), backend=backend, **options)


def test_a_wrong_type_is_still_an_error():
    with pytest.raises(TypeError, match="float64"):
        small()(np.ones((2, 4)))


def test_backends_say_what_they_offer():
    assert make_backend("numpy").precisions == ("float32", "float16")
    assert precisions(make_backend("numpy", twins=True)) == ("float32", "tf32", "float16")
