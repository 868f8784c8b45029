"""With one image a large weight's gradient is two vectors until somebody looks at it; nobody may notice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xnn
from xnn import nn, optim

pytest.importorskip("numba")
from xnn.kernels.numpy import single_row
from xnn.kernels.numpy.linear import linear
from xnn.kernels.numpy.simd import LANES

OPTIMIZERS = {
    "sgd": lambda model: optim.SGD(model, lr=0.1),
    "sgd, decay": lambda model: optim.SGD(model, lr=0.1, weight_decay=0.01),
    "sgd, decay of all": lambda model: optim.SGD(model, lr=0.1, weight_decay=0.01, decay_all=True),
    "momentum": lambda model: optim.SGD(model, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda model: optim.Adam(model, lr=0.01),
}


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
    return any(parameter.outer is not None for parameter in model._all_parameters.values())


@settings(max_examples=20)
@given(
    name=st.sampled_from(sorted(OPTIMIZERS)),
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
        optimizer = OPTIMIZERS[name](model)
        for seed, count in enumerate(rows):
            _pull(model, *_images(count, seed), penalty=nn.L2Penalty(1.0) if penalized else None)
            if clips:
                optim.clip_gradient_norm(model, 0.5)
            optimizer.step()
        trained.append(model.parameters.flat)
    np.testing.assert_allclose(*trained, rtol=1e-4, atol=1e-5 if name != "adam" else 1e-3)


@given(last=st.sampled_from([1, 2, 7]))
def test_whoever_looks_finds_the_last_gradient(last):
    model, plain = _model(True), _model(False)
    _pull(model, *_images(1, 0))
    assert _is_pending(model)
    for m in (model, plain):
        _pull(m, *_images(last, 1))
    np.testing.assert_allclose(model.gradients["2.weight"], plain.gradients["2.weight"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.gradients.flat, plain.gradients.flat, rtol=1e-4, atol=1e-6)
    assert not _is_pending(model)
    np.testing.assert_array_equal(model.layers[2].weight.gradient, model.gradients["2.weight"])


@pytest.mark.parametrize("least", [1, 1000, 2**18])
@given(rows=st.integers(1, 70), columns=st.integers(1, 70), seed=st.integers(0, 9))
def test_the_product_of_one_row_is_that_of_a_matrix_with_one(least, rows, columns, seed):
    generator = np.random.default_rng(seed)
    row, weight = (generator.normal(size=size).astype(np.float32) for size in (rows, (rows, columns)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_row, "LEAST", least)
        found = single_row.product(row, weight)
    np.testing.assert_allclose(found, row[None] @ weight, rtol=1e-4, atol=1e-4)


@given(columns=st.sampled_from([4, LANES, 300]), has_bias=st.booleans(), activation=st.sampled_from([None, "relu"]))
def test_what_is_known_serves_for_the_row_in_the_same_memory_alone(columns, has_bias, activation):
    generator, rows = np.random.default_rng(columns), -(-(2**16) // columns)
    x, weight = (generator.normal(size=size).astype(np.float32) for size in ((1, rows), (rows, columns)))
    bias = generator.normal(size=columns).astype(np.float32) if has_bias else None
    plain, _ = linear(x, weight, bias, activation)
    known = np.full((1, columns), 3.0, np.float32)
    found, pullback = linear(x.reshape(1, -1), weight, bias, activation, (x.reshape(1, -1, 1), known.copy()))
    served = known + (0 if bias is None else bias)
    np.testing.assert_array_equal(found, plain if columns < LANES else np.maximum(served, 0) if activation else served)
    assert pullback(found)[1].shape == weight.shape
    for other in (x.copy(), x[:, 1:]):
        found, _ = linear(x, weight, bias, activation, (other, known.copy()))
        np.testing.assert_array_equal(found, plain)


def test_the_factors_are_copies():
    x, labels = _images(1, 0)
    model, plain = _model(True), _model(False)
    _pull(plain, x, labels)
    _pull(model, x, labels)
    x[...] = np.nan
    np.testing.assert_allclose(model.gradients.flat, plain.gradients.flat, rtol=1e-4, atol=1e-6)


def test_plain_descent_takes_the_factors_and_writes_no_gradient():
    model = _model(True)
    _pull(model, *_images(7, 0))
    before = model.gradients.flat.copy()
    optimizer = optim.SGD(model, lr=0.1)
    _pull(model, *_images(1, 1))
    optimizer.step()
    assert not _is_pending(model)
    place = model.gradients.place("0.weight")
    start = model.gradients.starts["0.weight"]
    np.testing.assert_array_equal(place.reshape(-1), before[start : start + place.size])
