"""The commonest mistakes in a layer of one's own: each is said in one line."""

import numpy as np
import pytest

from xnn import nn
from xnn.testing import check_layer


def layer_of(forward):
    """Return a layer with one parameter, `scale`, and that forward."""

    def initialize(self, shape):
        self.scale = self.parameter("scale", shape, nn.initializers.ones)
        return shape

    return type("Mine", (nn.Layer,), {"initialize": initialize, "forward": forward})()


RETURNS = r"^Mine\.forward must return a tuple \(y, pullback\), not "
TAKES = r"^the pullback that Mine\.forward returns must take \(dy, input_gradient=True\)"
NEEDS = (
    r"^Mine: the pullback given to connect with 1 parameter must take \(dy, needs=\(True, True\)\) "
    r"and return a tuple of as many gradients"
)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x, train=False: x, RETURNS + "ndarray alone"),
        (lambda self, x, train=False: None, RETURNS + "NoneType alone"),
        (lambda self, x, train=False: (x, x), RETURNS + "a tuple of ndarray, ndarray"),
        (lambda self, x, train=False: (x, lambda dy: dy), TAKES),
        (lambda self, x, train=False: (x, lambda dy, *, input_gradient=True: dy), TAKES),
        (
            lambda self, x, train=False: self.connect(x, self.scale),
            r"^Mine: connect takes a tuple \(y, pullback\), not ndarray",
        ),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_forward_that_does_not_keep_its_promise_is_named(forward, message, inside):
    layer = layer_of(forward)
    model = (nn.Sequential(layer) if inside else layer).build((3,), backend="numpy")
    # Two rows, which y alone would be taken apart into.
    with pytest.raises(TypeError, match=message):
        model.forward(np.ones((2, 3), dtype="float32"))


@pytest.mark.parametrize(
    "pullback",
    [
        lambda dy: (dy, dy.sum(0)),
        lambda dy, needs: dy,
        lambda dy, needs: (dy,),
        lambda dy, needs: None,
    ],
    ids=["no needs", "dx alone", "no gradient of the parameter", "nothing"],
)
def test_a_function_s_pullback_that_does_not_keep_its_promise_is_named(pullback):
    model = layer_of(lambda self, x, train=False: self.connect((x, pullback), self.scale)).build((3,), backend="numpy")
    y, pull = model.forward(np.ones((2, 3), dtype="float32"))
    with pytest.raises(TypeError, match=NEEDS):
        pull(y)


def test_what_goes_wrong_inside_a_pullback_stays_as_it_is():
    def pullback(dy, needs):
        return len(3)

    model = layer_of(lambda self, x, train=False: self.connect((x, pullback), self.scale)).build((3,), backend="numpy")
    with pytest.raises(TypeError, match="has no len"):
        model.forward(np.ones((2, 3), dtype="float32"))[1](np.ones((2, 3), dtype="float32"))


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x, train=False: (x, lambda dy, input_gradient=True: dy),
        lambda self, x, train=False: (x, lambda dy, *flags: dy),
        lambda self, x, train=False: self.connect((x, lambda dy: dy)),
        lambda self, x, train=False: self.connect(
            (x * self.scale.value, lambda dy, needs: [dy, (dy * x).sum(0)]), self.scale
        ),
    ],
)
def test_what_keeps_it_is_left_alone(forward):
    model = nn.Sequential(nn.Linear(3), layer_of(forward)).build((3,), backend="numpy")
    y, pull = model.forward(np.ones((2, 3), dtype="float32"), train=True)
    assert pull(y).shape == (2, 3)


def test_the_check_of_a_layer_says_so_too():
    with pytest.raises(TypeError, match=TAKES):
        check_layer(layer_of(lambda self, x, train=False: (x, lambda dy: dy)), (3,))
