"""What `repr` says of a layer."""

import functools

import numpy as np
import pytest

from tests.nn.examples import EXAMPLES
from xnn import nn
from xnn.nn import initializers
from xnn.nn.arguments import _OTHERS


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.ReLU(), "ReLU()"),
        (nn.Linear(3), "Linear(3)"),
        (nn.Linear(3, bias=False), "Linear(3, bias=False)"),
        (nn.Conv2d(8, 3, padding="same", stride=2), "Conv2d(8, (3, 3), stride=(2, 2), padding='same')"),
        (nn.Conv2d(8, 3, trainable=False), "Conv2d(8, (3, 3), trainable=False)"),
        (nn.Reshape(4, 3), "Reshape(4, 3)"),
        (nn.Linear(2, weight_initializer=initializers.dirac), "Linear(2, weight_initializer=initializers.dirac)"),
        (
            nn.Linear(2, bias_initializer=functools.partial(initializers.uniform, reach=0.5)),
            "Linear(2, bias_initializer=partial(initializers.uniform, reach=0.5))",
        ),
        (nn.Sequential(nn.Linear(2), nn.ReLU()), "Sequential(Linear(2), ReLU())"),
        (
            nn.Sequential(
                nn.Conv2d(8, 3, padding="same", bias=False),
                nn.BatchNorm(),
                nn.Residual(
                    nn.Sequential(nn.Conv2d(8, 3, padding="same"), nn.ReLU(), nn.Conv2d(8, 3, padding=1, bias=False))
                ),
                nn.Residual(nn.ReLU(), nn.Tanh()),
            ),
            "Sequential(\n"
            "    Conv2d(8, (3, 3), padding='same', bias=False),\n"
            "    BatchNorm(),\n"
            "    Residual(\n"
            "        Sequential(\n"
            "            Conv2d(8, (3, 3), padding='same'),\n"
            "            ReLU(),\n"
            "            Conv2d(8, (3, 3), padding=1, bias=False),\n"
            "        ),\n"
            "    ),\n"
            "    Residual(ReLU(), shortcut=Tanh()),\n"
            ")",
        ),
    ],
)
def test_it_is_read_like_the_program(layer, text):
    assert repr(layer) == text


def test_a_built_model_says_the_same():
    model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3, bias=False))
    before = repr(model)
    assert (
        repr(model.build((4, 4, 1), backend="numpy"))
        == before
        == "Sequential(Conv2d(2, (3, 3)), Flatten(), Linear(3, bias=False))"
    )


class Odd(nn.Layer):
    """A layer that keeps one argument under an underscore, one nowhere, and a function."""

    def __init__(self, rate, kept, lost=3, function=np.negative):
        self._rate, self.kept, self.function = rate, kept, function


def test_a_layer_of_ones_own_is_shown_as_far_as_it_is_known():
    assert repr(Odd(0.5, [1, 2])) == "Odd(0.5, [1, 2], lost=...)"
    assert repr(Odd(0.5, "x", function=np.abs)) == "Odd(0.5, 'x', lost=..., function=absolute)"
    assert len(repr(Odd(0.5, list(range(9999))))) < 1100


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_what_building_adds_is_known_to_be_no_argument(example):
    layer = example.make()
    before = vars(layer).keys() - _OTHERS
    layer.build(example.input_shape, backend="numpy")
    added = {name for name in vars(layer).keys() - before if name.startswith("_")}
    assert added <= _OTHERS


def test_an_argument_may_be_called_like_something_that_building_adds():
    class Mine(nn.Sequential):
        def __init__(self, *layers, steps=1, outermost=1):
            super().__init__(*layers)
            self.steps, self.outermost = steps, outermost

    model = Mine(nn.Linear(2), steps=5, outermost=6)
    before = repr(model)
    assert "steps=5" in before
    assert "outermost=6" in before
    assert repr(model.build((3,), backend="numpy")) == before
