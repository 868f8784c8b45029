"""Layers as JSON: all that a layer was made with, and nothing that could do harm."""

import contextlib
import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.documents import places, replaced
from tests.nn.remaking import by_description
from xnn import nn
from xnn.nn import architecture, initializers
from xnn.nn.architecture import described, made, name_of


def test_a_description_is_what_it_is_documented_to_be():
    uniform = functools.partial(initializers.uniform, reach=np.float32(0.5))
    layer = nn.Residual(nn.Sequential(nn.ReLU(), nn.Linear(np.int64(2), bias_initializer=uniform)))
    linear = {
        "features": 2,
        "bias": True,
        "weight_initializer": {"initializer": "kaiming_normal"},
        "bias_initializer": {"initializer": "uniform", "arguments": {"reach": 0.5}},
    }
    body = {
        "layer": "Sequential",
        "arguments": {"layers": [{"layer": "ReLU"}, {"layer": "Linear", "arguments": linear}]},
    }
    assert described(layer) == {"layer": "Residual", "arguments": {"body": body, "shortcut": None}}


class Mine(nn.Layer):
    """A layer of a user's own."""

    def __init__(self, rates, inner, *, mode="plain", _hidden=None):
        self.rates, self.inner, self._mode, self._hidden = list(rates), inner, mode, _hidden


class Lossy(nn.Layer):
    def __init__(self, rate):
        self.half = rate / 2


class Anything(nn.Layer):
    def __init__(self, **options):
        self.options = options


class Holding(nn.Layer):
    def __init__(self, value):
        self.value = value


def test_a_layer_of_ones_own_is_known_by_its_class():
    assert name_of(Mine) == f"{__name__}.Mine"
    twin = by_description(Mine((0.5, 1), nn.Tanh(), mode="x"))
    assert type(twin) is Mine
    assert type(twin.inner) is nn.Tanh
    assert (twin.rates, twin._mode) == ([0.5, 1], "x")


def test_a_layer_may_be_handed_over_under_another_module_s_name():
    description = {"layer": "__main__.Holding", "arguments": {"value": [1, [True, None]]}}
    assert made(description, [Holding]).value == (1, (True, None))
    with pytest.raises(architecture.UnknownLayer, match=r"it has a layer '__main__\.Holding', which is not known here"):
        made(description, [Mine])
    with pytest.raises(TypeError, match=r"layers must be classes of layers, as in layers=\[MyLayer\], not ReLU\(\)"):
        made(description, [nn.ReLU()])


def test_of_two_classes_of_a_name_the_newest_is_taken():
    """As when a cell of a notebook is run again."""

    def define():
        class Again(nn.Layer):
            pass

        return Again

    kept = [define(), define()]
    assert type(made({"layer": name_of(kept[0])})) is kept[1]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Lossy(0.5), "Lossy: the argument 'rate' cannot be saved, as the layer keeps it nowhere: set self.rate to it"),
        (Anything(a=1), "Anything: the argument 'options' cannot be saved, as it stands for any: name each argument"),
        (Holding(np.sin), "Holding: the argument 'value' cannot be saved, as it is a function"),
        (Holding({"a": 1}), "Holding: the argument 'value' cannot be saved, as it is {'a': 1}: take numbers"),
        (Holding(float("nan")), "Holding: the argument 'value' cannot be saved, as it is nan"),
        (Holding(2**60), "Holding: the argument 'value' cannot be saved, as it is 1152921504606846976"),
        (Holding(np.ones(2)), "Holding: the argument 'value' cannot be saved"),
    ],
)
def test_what_cannot_be_described_is_named(layer, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        described(nn.Sequential(layer))
    assert str(caught.value).startswith(message)


def test_an_initializer_of_ones_own_is_not_known_afterwards():
    layer = nn.Linear(2, weight_initializer=lambda shape, random: np.ones(shape))
    assert described(layer)["arguments"]["weight_initializer"] == {"initializer": None}
    twin = by_description(layer)
    assert described(twin) == described(layer)
    with pytest.raises(ValueError, match="own initializer is not known here, so it cannot be built anew"):
        twin.build((3,), backend="numpy")


LINEAR = {"layer": "Linear", "arguments": {"features": 3}}


def row(layer, length):
    return {"layer": "Sequential", "arguments": {"layers": [layer] * length}}


def nested(depth):
    value = LINEAR
    for _ in range(depth):
        value = row(value, 1)
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "where a description of a layer is expected there is something else"),
        ({"layer": 3}, "expected there is something else"),
        ({"layer": "ReLU", "code": "x"}, "expected there is something else"),
        ({"layer": "ReLU", "arguments": [1]}, "the arguments of 'ReLU' are not named"),
        ({"layer": "ReLU", "arguments": {"x": 1}}, "ReLU takes no argument 'x'"),
        ({"layer": "Linear"}, r"Linear\(.*\) does not fit Linear\(features"),
        ({"layer": "Linear", "arguments": {"features": LINEAR}}, "Linear: features must be an integer"),
        ({"layer": "Linear", "arguments": {"features": 2**60}}, "a number among its arguments is out of range"),
        ({"layer": "Sequential", "arguments": {"layers": "ab"}}, "Sequential: the argument 'layers' is no list"),
        ({"layer": "Sequential", "arguments": {"layers": [1]}}, "Sequential: 1 is not a layer"),
        ({"layer": "_Norm", "arguments": {}}, "it has a layer '_Norm', which is not known"),
        ({"layer": "Layer"}, "it has a layer 'Layer', which is not known"),
        ({"layer": "os.system"}, r"it has a layer 'os\.system', which is not known"),
        ({"layer": "\x1b[2J"}, r"it has a layer '\\x1b\[2J'"),
        (
            {"layer": "Linear", "arguments": {"features": 1, "bias_initializer": {"initializer": "fans"}}},
            "initializer 'fans'",
        ),
        (
            {
                "layer": "Linear",
                "arguments": {"features": 1, "bias_initializer": {"initializer": "uniform", "arguments": {"shape": 1}}},
            },
            "the initializer uniform takes reach, not all of its arguments",
        ),
        (
            {
                "layer": "Linear",
                "arguments": {
                    "features": 1,
                    "bias_initializer": {"initializer": "uniform", "arguments": {"reach": "x"}},
                },
            },
            "the initializer uniform has an argument that is no number",
        ),
        (nested(50), "its layers and lists are nested more than 100 deep"),
        (row(row({"layer": "ReLU"}, 6000), 2), "more than 10,000 layers"),
        (row({"layer": "Reshape", "arguments": {"shape": [1] * 9999}}, 21), "more than 200,000 arguments"),
        (row({"layer": "ReLU"}, 10_001), "a list among its arguments is longer than 10,000"),
    ],
)
def test_what_is_no_description_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        made(value)


def test_what_real_networks_have_is_taken():
    assert made(nested(49)).build((2,), backend="numpy").output_shape == (3,)


ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        2,
        0.5,
        1e308,
        "",
        "same",
        "x" * 5000,
        [],
        {},
        [[]],
        [[1, 1], [1, 1]],
        {"layer": "ReLU"},
        LINEAR,
    ]
)
SOUND = described(
    nn.Sequential(
        nn.Conv2d(4, 3, padding="same", bias_initializer=functools.partial(initializers.uniform, reach=0.1)),
        nn.Residual(nn.Sequential(nn.BatchNorm(), nn.LeakyReLU())),
        nn.Parallel(nn.MaxPool2d(2), nn.AvgPool2d(2)),
        nn.Dropout(0.5),
        nn.Reshape(2, 16),
        nn.Softmax(),
    )
)


@given(path=st.sampled_from([(), *places(SOUND)]), odd=ODD)
def test_an_odd_value_is_refused_or_makes_a_layer_and_nothing_else(path, odd):
    with contextlib.suppress(ValueError):
        layer = made(replaced(SOUND, path, odd))
        assert isinstance(layer, nn.Layer)
        with contextlib.suppress(TypeError):  # an initializer that is none
            layer.count((4, 4, 2))
