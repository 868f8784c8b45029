"""Layers in a row are computed by one twin where the registry has one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import nn
from xnn.backends import backend as make_backend

pytest.importorskip("numba")
from xnn.kernels.table import NUMPY
from xnn.nn.joined import Joined

CHAINS = {row.names for row in NUMPY if len(row.names) > 1}


class OwnReLU(nn.ReLU):
    """May do anything in its forward."""

    def forward(self, x, train=False):
        return super().forward(x, train)


LAYERS = {
    "linear": lambda: nn.Linear(3),
    "batch_norm": nn.BatchNorm,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "": OwnReLU,
}


def name_of(layer, train):
    """Return the function that a layer calls, as it says itself."""
    names = {type(make()): name for name, make in LAYERS.items()}
    name = names[type(layer)]
    return "batch_norm_inference" if name == "batch_norm" and not train else name


@given(names=st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=8), train=st.booleans())
def test_the_longest_chain_is_taken_at_each_place(names, train):
    model = nn.Sequential(*(LAYERS[name]() for name in names)).build((3,), backend=make_backend("numpy", twins=True))
    left = list(model.layers)
    for step in model._steps[train]:
        called = [name_of(layer, train) for layer in left]
        longest = max((n for n in range(2, len(left) + 1) if tuple(called[:n]) in CHAINS), default=1)
        assert list(step.layers if isinstance(step, Joined) else [step]) == left[:longest]
        assert isinstance(step, Joined) == (longest > 1)
        left = left[longest:]
    assert left == []


@pytest.mark.parametrize("train", [True, False])
def test_without_twins_nothing_is_joined(train):
    model = nn.Sequential(nn.Linear(3), nn.ReLU()).build((3,), backend=make_backend("numpy", twins=False))
    assert model._steps[train] == list(model.layers)


def test_what_a_precision_casts_is_not_joined():
    model = nn.Sequential(nn.BatchNorm(), nn.ReLU(), nn.Linear(3), nn.ReLU())
    model.build((3,), backend=make_backend("numpy", twins=True), precision="float16")
    assert model._steps[True] == list(model.layers)


@given(
    names=st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=6),
    train=st.booleans(),
    frozen=st.integers(0, 6),
    seed=st.integers(0, 99),
)
def test_joined_layers_compute_as_one_by_one(names, train, frozen, seed):
    results = []
    for twins in (True, False):
        model = nn.Sequential(nn.Linear(3), *(LAYERS[name]() for name in names), nn.Linear(2))
        model.build((3,), backend=make_backend("numpy", twins=twins), seed=seed)
        if f"{frozen}.weight" in model.parameters:
            model.freeze(f"{frozen}")
        x = np.random.default_rng(seed).normal(size=(8, 3)).astype(np.float32)
        y, pullback = model.forward(x, train)
        dx = pullback(np.ones_like(y))
        results.append([y, dx, model.gradients.flat, model.buffers.flat])
    for found, expected in zip(*results, strict=True):
        # Where a variance nearly vanishes, rounding is multiplied.
        np.testing.assert_allclose(found, expected, rtol=5e-2, atol=5e-3 * max(np.max(np.abs(expected), initial=0), 1))


class PoolByShape(nn.MaxPool2d):
    """A call that depends on x, which is not known behind another layer."""

    def call(self, x, train):
        return nn.Call((), ((x.shape[1] // 2, x.shape[2] // 2), None, 0))


class Noting(nn.ReLU):
    """A way of its own to call the function."""

    def perform(self, x, call, train):
        self.seen = x.shape
        return super().perform(x, call, train)


def test_layers_with_ways_of_their_own_are_not_joined():
    numpy = make_backend("numpy", twins=True)
    model = nn.Sequential(nn.ReLU(), PoolByShape(2)).build((4, 4, 3), backend=numpy)
    assert model._steps[True] == list(model.layers)
    assert model(np.ones((2, 4, 4, 3), np.float32)).shape == (2, 2, 2, 3)
    model = nn.Sequential(nn.Linear(3), Noting()).build((3,), backend=numpy)
    model(np.ones((2, 3), np.float32))
    assert model[1].seen == (2, 3)


def test_a_forward_that_is_replaced_after_the_build_is_called():
    model = nn.Sequential(nn.Linear(3), nn.ReLU()).build((3,), backend=make_backend("numpy", twins=True))
    model[1].forward = lambda x, train=False: (x * 0.0 + 7.0, lambda dy, input_gradient=True: dy)
    np.testing.assert_array_equal(model(np.ones((2, 3), np.float32)), np.full((2, 3), 7.0))


def test_a_forward_of_the_model_s_own_stays_when_it_is_built_again():
    model = nn.Sequential(nn.Linear(3), nn.ReLU())
    model.forward = lambda x, train=False: (x + 1.0, lambda dy, input_gradient=True: dy)
    for _ in range(2):
        model.build((3,), backend=make_backend("numpy", twins=True))
        np.testing.assert_array_equal(model(np.zeros((2, 3), np.float32)), np.ones((2, 3)))


@pytest.mark.parametrize("bias", [True, False])
def test_an_empty_batch_passes_through_joined_layers(bias):
    model = nn.Sequential(nn.Linear(5, bias=bias), nn.ReLU()).build((3,), backend=make_backend("numpy", twins=True))
    assert model(np.zeros((0, 3), np.float32)).shape == (0, 5)
