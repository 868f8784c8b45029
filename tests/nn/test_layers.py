"""What holds for every layer."""

import inspect

import numpy as np
import pytest

from xnn import nn
from xnn.backends import backend as make_backend
from xnn.testing import check_layer

from .examples import EXAMPLES

every_layer = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
CONTAINERS = {"Sequential", "Residual", "Parallel"}


def away_from_kinks(shape, seed=0):
    """Return numbers that are all different and none of which is near zero."""
    values = np.arange(np.prod(shape)) - np.prod(shape) // 2 + 0.5
    return np.random.default_rng(seed).permutation(values / 8).reshape(shape)


def test_every_layer_has_an_example():
    layers = {kind.__name__ for _, kind in inspect.getmembers(nn, inspect.isclass) if issubclass(kind, nn.Layer)}
    assert {type(example.make()).__name__ for example in EXAMPLES} == layers - CONTAINERS - {"Layer"}


@every_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_its_function_in_training(example, backend, dtype):
    # Without twins the numbers are the function's own, bit for bit; that a twin equals it to rounding is tested there.
    backend = make_backend(backend.name, twins=False)
    layer = example.make().build(example.input_shape, backend=backend, seed=3, dtype=dtype)
    x = backend.asarray(away_from_kinks((4, *example.input_shape)), dtype)
    y, _ = layer.forward(x, train=True)
    assert y.dtype == backend.dtype(dtype)
    assert tuple(y.shape) == (4, *layer.output_shape)
    np.testing.assert_array_equal(backend.to_numpy(y), backend.to_numpy(example.value(x, layer)))


@every_layer
@pytest.mark.parametrize("train", [True, False])
def test_gradients(example, backend, train):
    x = away_from_kinks((3, *example.input_shape))
    check_layer(example.make(), example.input_shape, x=x, train=train, backend=backend)


@every_layer
def test_a_call_is_inference(example, backend):
    layer = example.make().build(example.input_shape, backend=backend, dtype="float64")
    x = backend.asarray(away_from_kinks((4, *example.input_shape)))
    kept = backend.to_numpy(layer.buffers.flat).copy()
    np.testing.assert_array_equal(backend.to_numpy(layer(x)), backend.to_numpy(layer.forward(x, train=False)[0]))
    np.testing.assert_array_equal(backend.to_numpy(layer.buffers.flat), kept)
    assert layer.random.counter == 0


@pytest.mark.parametrize(
    ("make", "shape", "culprit"),
    [
        (lambda: nn.Linear(0), (3,), "Linear: features must be an integer of at least 1, not 0"),
        (lambda: nn.Linear(2.5), (3,), "features"),
        (lambda: nn.Linear(2), (), "at least one axis"),
        (lambda: nn.Conv2d(-1, 3), (5, 5, 1), "Conv2d: channels must be an integer of at least 1"),
        (lambda: nn.Conv2d(2, 0), (5, 5, 1), "Conv2d: kernel must be a positive integer"),
        (lambda: nn.Conv2d(2, 3), (25,), r"Conv2d: the input must be images \(h, w, c\), not arrays of shape \(25,\)"),
        (lambda: nn.Conv2d(2, 3, groups=2), (5, 5, 3), "groups=2 must divide the 3 input and 2 output channels"),
        (lambda: nn.Conv2d(2, 7), (5, 5, 3), "does not fit the image's padded height of 5"),
        (lambda: nn.Conv2d(2, 3, padding="full"), (5, 5, 3), "padding must be"),
        (lambda: nn.MaxPool2d(2, 0), (5, 5, 3), "MaxPool2d: stride must be a positive integer"),
        (lambda: nn.MaxPool2d(2, 1, padding=2), (5, 5, 3), "that see no pixel"),
        (lambda: nn.AvgPool2d(2), (5,), "AvgPool2d: the input must be images"),
        (nn.GlobalAvgPool2d, (5, 5), "GlobalAvgPool2d: the input must be images"),
        (nn.GlobalMaxPool2d, (5, 5), "GlobalMaxPool2d: the input must be images"),
        (lambda: nn.Reshape(4), (5,), r"Reshape: an input of shape \(5,\) cannot take the shape \(4,\)"),
        (lambda: nn.Dropout(1.0), (5,), r"Dropout: rate must be a number of at least 0 and below 1, not 1.0"),
        (lambda: nn.Dropout(float("nan")), (5,), "Dropout: rate"),
        (
            lambda: nn.BatchNorm(momentum=0.0),
            (5,),
            r"BatchNorm: momentum must be a number above 0 and at most 1, not 0.0",
        ),
        (lambda: nn.BatchNorm(eps=0.0), (5,), "BatchNorm: eps must be a finite number above 0"),
        (lambda: nn.LayerNorm(eps=-1.0), (5,), "LayerNorm: eps must be a finite number above 0"),
        (nn.LayerNorm, (), "at least one axis"),
        (lambda: nn.GELU("erf"), (5,), "GELU: approximate must be"),
    ],
)
def test_bad_arguments_are_named(make, shape, culprit):
    with pytest.raises(ValueError, match=culprit):
        make().build(shape, backend="numpy")
