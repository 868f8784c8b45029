"""With one image a large weight's gradient is pending until somebody looks at it; nobody may notice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xnn
from tests.optim.table import OPTIMIZERS, WITH_MUON
from xnn import nn, optim

pytest.importorskip("numba")


def _model(twins):
    layers = [nn.Linear(256), nn.ReLU(), nn.Linear(257), nn.ReLU(), nn.Linear(3)]
    return nn.Sequential(*layers).build((260,), backend=xnn.backend("numpy", twins=twins), seed=5)


def _images(rows, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 260)).astype(np.float32), rng.integers(0, 3, rows)


def _pull(model, x, labels, penalty=None):
    logits, pullback = model.forward(x, train=True)
    _, loss_pullback = nn.SoftmaxCrossEntropy().forward(logits, labels)
    _, penalty_pullback = (None, None) if penalty is None else penalty.forward(model)
    pullback(loss_pullback(), input_gradient=False)
    if penalty_pullback is not None:
        penalty_pullback()


def _is_pending(model):
    return any(parameter.pending is not None for parameter in model._all_parameters.values())


@settings(max_examples=20)
@given(
    name=st.sampled_from(sorted(WITH_MUON)),
    rows=st.lists(st.sampled_from([1, 1, 1, 2, 7]), min_size=1, max_size=4),
    frozen=st.sampled_from([None, "0", "2.weight", "2.bias"]),
    clips=st.booleans(),
    penalized=st.booleans(),
)
def test_training_is_as_without_twins(name, rows, frozen, clips, penalized):
    trained = []
    for twins in (True, False):
        model = _model(twins)
        if frozen:
            model.freeze(frozen)
        optimizer = WITH_MUON[name](model)
        for seed, count in enumerate(rows):
            _pull(model, *_images(count, seed), penalty=nn.L2Penalty(1.0) if penalized else None)
            if clips:
                optim.clip_gradient_norm(model, 0.5)
            optimizer.step()
        trained.append(model.parameters.flat)
    np.testing.assert_allclose(*trained, rtol=1e-4, atol=1e-5 if name in ("sgd", "momentum", "nesterov") else 1e-3)


@given(last=st.sampled_from([1, 2, 7]))
def test_reading_a_gradient_gives_the_last_one(last):
    model, plain = _model(True), _model(False)
    _pull(model, *_images(1, 0))
    assert _is_pending(model)
    for m in (model, plain):
        _pull(m, *_images(last, 1))
    np.testing.assert_allclose(model.gradients["2.weight"], plain.gradients["2.weight"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.gradients.flat, plain.gradients.flat, rtol=1e-4, atol=1e-6)
    assert not _is_pending(model)
    np.testing.assert_array_equal(model.layers[2].weight.gradient, model.gradients["2.weight"])


def test_the_factors_are_copies():
    x, labels = _images(1, 0)
    model, plain = _model(True), _model(False)
    _pull(plain, x, labels)
    _pull(model, x, labels)
    x[...] = np.nan
    np.testing.assert_allclose(model.gradients.flat, plain.gradients.flat, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_the_factors_and_leaves_them_to_be_read(name):
    model = _model(True)
    _pull(model, *_images(7, 0))
    before = model.gradients.flat.copy()
    optimizer = OPTIMIZERS[name](model)
    _pull(model, *_images(1, 1))
    optimizer.step()
    place = model.gradients._views["0.weight"]
    start = model.gradients.starts["0.weight"]
    np.testing.assert_array_equal(place.reshape(-1), before[start : start + place.size])
    # Whoever reads it after the step finds it all the same.
    plain = _model(False)
    _pull(plain, *_images(1, 1))
    np.testing.assert_allclose(model.gradients.flat, plain.gradients.flat, rtol=1e-4, atol=1e-6)
