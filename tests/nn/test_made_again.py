"""A layer is made again by what `repr` says of it, and by its description as JSON."""

import numpy as np
import pytest
from hypothesis import given

from tests.nn.examples import EXAMPLES
from tests.nn.remaking import by_description, by_repr
from tests.tasks import DIGITS
from xnn import recipes
from xnn.nn.architecture import described
from xnn.testing.strategies import networks

WAYS = pytest.mark.parametrize(("again", "said"), [(by_repr, repr), (by_description, described)])


def same(a, b, shape):
    """Compare two layers by what they draw and compute."""
    x = np.random.default_rng(0).standard_normal((2, *shape))
    outputs = [layer.build(shape, backend="numpy", seed=4, dtype="float64")(x) for layer in (a, b)]
    np.testing.assert_array_equal(*outputs)


@WAYS
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_layer_is_made_again(again, said, example):
    layer = example.make()
    twin = again(layer)
    assert type(twin) is type(layer)
    assert said(twin) == said(layer)
    same(layer, twin, example.input_shape)


@WAYS
@given(case=networks(smooth=False))
def test_every_network_is_made_again(again, said, case):
    network, shape = case
    same(network, again(network), shape)


@WAYS
@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_named_model_is_made_again(again, said, name):
    model = recipes.network(name, DIGITS, hidden=4)
    same(model, again(model), (8, 8, 1))
