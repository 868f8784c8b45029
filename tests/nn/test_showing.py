"""What a notebook shows of a model."""

import pytest
from hypothesis import given

from tests.markup import Page
from xnn import nn
from xnn.testing import strategies


@given(strategies.networks())
def test_a_built_model_is_a_table_of_its_layers(network):
    model, shape = network
    model.build(shape)
    page = Page(model._repr_html_())
    words = "|".join(page.texts)
    for row in model.summary().rows:
        assert row.layer in words
        assert f"{row.parameters:,}" in words
    assert f"{model.summary().parameters:,}" in words
    assert " x ".join(map(str, shape)) in words


def test_a_model_that_is_not_built_is_what_its_repr_says():
    model = nn.Sequential(nn.Linear(3), nn.ReLU())
    assert Page(model._repr_html_()).texts == [repr(model)]


def test_a_part_of_a_model_is_what_its_repr_says():
    model = nn.Sequential(nn.Linear(3), nn.ReLU()).build((2,))
    assert Page(model[0]._repr_html_()).texts == [repr(model[0])]


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_parameters_are_named(frozen):
    model = nn.Sequential(nn.Linear(3), nn.Linear(2)).build((2,))
    if frozen:
        model.freeze("0")
    assert ("(9 frozen)" in Page(model._repr_html_()).texts) == frozen


def test_a_layers_name_is_escaped():
    kind = type("<b>", (nn.Layer,), {"function": "relu"})
    model = nn.Sequential(kind()).build((2,))
    page = Page(model._repr_html_())
    assert "<b>" in "".join(page.texts)
