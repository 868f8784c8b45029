"""Tiles show the weights they are named after."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.reporting.filters import ADDS, SUBTRACTS, first_filters


@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 4), st.integers(1, 60), st.integers(1, 50))
def test_the_filters_with_the_largest_norms_are_shown_in_order(seed, side, channels, count, most):
    weight = np.random.default_rng(seed).standard_normal((side, side, channels, count))
    found = first_filters({"0.bias": np.zeros(3), "0.weight": weight, "3.weight": weight}, (8, 8, channels), most)
    assert (found.name, found.shape, found.total) == ("0.weight", (side, side, channels), count)
    norms = np.linalg.norm(weight.reshape(-1, count), axis=0)
    chosen = np.sort(np.argsort(-norms)[:most])
    assert len(found.tiles) == len(chosen)
    for tile, i in zip(found.tiles, chosen, strict=True):
        if channels == 3:
            assert found.colour
            np.testing.assert_allclose(tile / 127.5 - 1, weight[..., i] / np.abs(weight[..., i]).max(), atol=0.005)
        else:
            mean = weight[..., i].mean(axis=-1)
            assert (tile[mean > 0][:, :3] == ADDS).all()
            assert (tile[mean < 0][:, :3] == SUBTRACTS).all()
            assert tile[..., 3].max() == 255


def test_a_linear_layers_weights_are_images():
    weight = np.zeros((6, 2))
    weight[4, 1] = -2.0
    found = first_filters({"1.weight": weight}, (2, 3, 1))
    assert found.shape == (2, 3, 1)
    np.testing.assert_array_equal(found.tiles[1][..., 3], [[0, 0, 0], [0, 255, 0]])


@pytest.mark.parametrize("value", [1e308, -1e308, 1e-320, 0.0])
def test_weights_of_any_size_are_drawn(value):
    for channels in (1, 3):
        found = first_filters({"a": np.full((3, 3, channels, 2), value)}, (8, 8, channels))
        assert [tile.shape for tile in found.tiles] == [(3, 3, 3 if channels == 3 else 4)] * 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_drawn(value):
    weight = np.zeros((3, 3, 1, 2))
    weight[0, 0, 0, 1] = value
    assert first_filters({"a": weight}, (8, 8, 1)) is None


def test_what_cannot_be_drawn_is_left_out():
    assert first_filters({"a": np.zeros((5, 2))}, (2, 3, 1)) is None
    assert first_filters({"a": np.zeros(5)}, (2, 3, 1)) is None
    assert first_filters({"a": np.zeros((3, 3, 1, 1))}, (2, 3, 1)).tiles[0].shape == (3, 3, 4)
