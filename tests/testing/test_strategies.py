"""What the strategies promise about what they draw."""

import math

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from xnn import functional as F
from xnn import nn
from xnn.testing import strategies

from ..functional import naive

# Any example will do where it is only asked whether there is one.
SEARCH = settings(max_examples=3000, phases=[Phase.generate], derandomize=True, database=None)


@given(data=st.data(), least=st.integers(0, 2))
def test_shapes(data, least):
    shape = data.draw(strategies.shapes(least, least + 2, min_side=2, max_side=5))
    assert least <= len(shape) <= least + 2
    assert all(2 <= side <= 5 for side in shape)


@given(data=st.data(), shape=strategies.shapes(0, 3, min_side=0, max_side=5))
def test_arrays_keep_away_from_kinks(data, shape):
    x = data.draw(strategies.arrays(shape))
    assert (x.shape, x.dtype) == (shape, np.float64)
    assert np.all(np.abs(x) <= 3.0)
    assert np.all(np.abs(x * 8 - np.round(x * 8)) * 8 >= 1 / 16)


@given(data=st.data(), shape=strategies.shapes(0, 3, max_side=5))
def test_distinct_arrays(data, shape):
    x = np.sort(data.draw(strategies.arrays(shape, distinct=True)), axis=None)
    assert np.all(np.diff(x) >= 1 / 8 - 1e-12)


@pytest.mark.parametrize("size", [10, 100])
def test_arrays_can_aim_at_values(size):
    find(strategies.arrays((size,), at=(0.0, 7.0)), lambda x: {0.0, 7.0} < set(x.tolist()), settings=SEARCH)


def test_failures_shrink_to_simple_arrays():
    x = find(
        strategies.arrays((3,)),
        lambda x: x.max() > 1,
        settings=settings(database=None, derandomize=True, max_examples=500),
    )
    assert sorted(np.abs(x).tolist()) == [1 / 16, 1 / 16, 17 / 16]


@given(data=st.data(), count=st.integers(0, 5), classes=st.integers(1, 4))
def test_labels(data, count, classes):
    labels = data.draw(strategies.labels(count, classes, "uint8"))
    assert (labels.shape, labels.dtype) == ((count,), np.uint8)
    assert np.all(labels < classes)


@given(geometry=strategies.conv_geometries())
def test_conv_geometries_fit(geometry):
    y, _ = F.conv2d(np.ones(geometry.x), np.ones(geometry.weight), **geometry.options)
    assert math.prod(y.shape) > 0


@given(geometry=strategies.pool_geometries())
def test_pool_geometries_fit_and_every_window_sees_a_pixel(geometry):
    y, _ = F.max_pool2d(np.ones(geometry.x), **geometry.options)
    assert math.prod(y.shape) > 0
    assert np.all(np.isfinite(y))


@pytest.mark.parametrize(
    "wanted",
    [
        lambda g: g.options["padding"] == "same" and g.options["stride"] == (2, 3),
        lambda g: g.options["padding"] == "valid",
        lambda g: isinstance(g.options["padding"], tuple) and isinstance(g.options["padding"][0], tuple),
        lambda g: naive.pair(g.options["dilation"]) == (2, 1) and g.weight[0] > 1,
        lambda g: g.options["groups"] == 3 and g.weight[2] == 2,
        lambda g: g.x[0] == 1,
        lambda g: g.x[1:3] == (1, 1),
    ],
)
def test_conv_geometries_of_every_kind_occur(wanted):
    find(strategies.conv_geometries(), wanted, settings=SEARCH)


@given(case=strategies.networks(smooth=False), seed=st.integers(0, 3))
def test_networks_can_be_built_and_run(case, seed):
    network, shape = case
    network.build(shape, backend="numpy", seed=seed)
    y = network(np.ones((2, *shape), dtype="float32"))
    assert y.shape == (2, *network.output_shape)


@given(case=strategies.networks())
def test_smooth_networks_have_no_kinks(case):
    network, shape = case
    rows = network.build(shape, backend="numpy").summary().rows
    assert {row.layer for row in rows}.isdisjoint({"ReLU", "LeakyReLU", "ELU", "MaxPool2d"})


@given(case=strategies.networks(batch_norm=False, dropout=False))
def test_networks_can_do_without_what_ties_or_changes_images(case):
    network, shape = case
    rows = network.build(shape, backend="numpy").summary().rows
    assert {row.layer for row in rows}.isdisjoint({"BatchNorm", "Dropout"})


@pytest.mark.parametrize("kind", [nn.Residual, nn.Parallel, nn.BatchNorm, nn.Dropout])
def test_networks_of_every_kind_occur(kind):
    find(strategies.networks(), lambda case: any(isinstance(layer, kind) for layer in case[0].layers), settings=SEARCH)
