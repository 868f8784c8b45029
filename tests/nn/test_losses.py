import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn import kernels, nn

SMOOTHED = nn.SoftmaxCrossEntropy(0.2)


@pytest.mark.parametrize(
    ("loss", "function"),
    [
        (nn.SoftmaxCrossEntropy(), F.softmax_cross_entropy),
        (SMOOTHED, lambda logits, labels: F.softmax_cross_entropy(logits, labels, 0.2)),
        (nn.BinaryCrossEntropyWithLogits(), F.binary_cross_entropy_with_logits),
        (nn.MSE(), F.mse),
        (nn.Huber(0.5), lambda prediction, target: F.huber(prediction, target, 0.5)),
    ],
)
def test_equals_its_function(loss, function, backend):
    random = np.random.default_rng(0)
    prediction = backend.asarray(random.standard_normal((4, 3)))
    classes = isinstance(loss, nn.SoftmaxCrossEntropy)
    target = backend.asarray(random.integers(0, 3, 4) if classes else random.random((4, 3)))
    (value, pullback), (expected, expected_pullback) = loss.forward(prediction, target), function(prediction, target)
    np.testing.assert_array_equal(backend.to_numpy(value), backend.to_numpy(expected))
    np.testing.assert_array_equal(backend.to_numpy(pullback(2.0)), backend.to_numpy(expected_pullback(2.0)))


@pytest.mark.parametrize(
    "loss",
    [nn.SoftmaxCrossEntropy(), nn.BinaryCrossEntropyWithLogits(), nn.MSE(), nn.Huber()],
    ids=lambda x: type(x).__name__,
)
def test_weights_of_samples_are_passed_on(loss, backend):
    random = np.random.default_rng(0)
    x, target = random.standard_normal((4, 3)), random.dirichlet([1.0, 1.0, 1.0], 4)
    x, target, weight = map(backend.asarray, (x, target, np.array([0.0, 1.0, 0.0, 0.0])))
    value, _ = loss.forward(x, target, weight)
    alone, _ = loss.forward(x[1:2, :], target[1:2, :])
    np.testing.assert_allclose(backend.to_numpy(value), backend.to_numpy(alone), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_class_weights_follow_the_logits_and_are_sent_once(backend, dtype):
    loss = nn.SoftmaxCrossEntropy(0.1, class_weight=[1, 2.5, 0])
    random = np.random.default_rng(0)
    logits, labels = backend.asarray(random.standard_normal((4, 3)), dtype), backend.asarray(np.array([0, 1, 1, 0]))
    weight = backend.asarray(np.array([1, 2.5, 0]), dtype)
    (value, pullback), (expected, expected_pullback) = (
        loss.forward(logits, labels),
        kernels.functions_of(logits).softmax_cross_entropy(logits, labels, 0.1, weight),
    )
    assert value.dtype == logits.dtype
    np.testing.assert_array_equal(backend.to_numpy(value), backend.to_numpy(expected))
    np.testing.assert_array_equal(backend.to_numpy(pullback()), backend.to_numpy(expected_pullback()))
    placed = loss._placed
    loss.forward(logits, labels)
    assert loss._placed is placed
    again = copy.deepcopy(loss)
    assert again.class_weight == (1.0, 2.5, 0.0)
    np.testing.assert_array_equal(backend.to_numpy(again.forward(logits, labels)[0]), backend.to_numpy(value))


def make_model(backend="numpy"):
    model = nn.Sequential(nn.Linear(3), nn.BatchNorm(), nn.Linear(2)).build((4,), backend=backend, dtype="float64")
    model.parameters.flat[...] = backend.asarray(np.arange(1.0, 30.0)) if backend != "numpy" else np.arange(1.0, 30.0)
    return model


def test_the_penalty_covers_only_decayed_and_trained_weights(backend):
    model = make_model(backend)
    model.freeze("2")
    weight = backend.to_numpy(model.parameters["0.weight"])
    penalty, pullback = nn.L2Penalty(0.5).forward(model)
    np.testing.assert_allclose(float(backend.to_numpy(penalty)), 0.25 * np.sum(weight**2))
    model.gradients.flat[...] = 1.0
    pullback(3.0)
    for name, view in model.gradients.items():
        expected = 1.0 + 3.0 * 0.5 * weight if name == "0.weight" else np.ones(view.shape)
        np.testing.assert_allclose(backend.to_numpy(view), expected)


def test_the_penalty_of_a_model_with_nothing_to_penalize_is_zero(backend):
    model = nn.BatchNorm().build((4,), backend=backend, dtype="float64")
    penalty, pullback = nn.L2Penalty(0.5).forward(model)
    pullback()
    assert penalty.shape == ()
    assert float(backend.to_numpy(penalty)) == 0.0
    assert not np.any(backend.to_numpy(model.gradients.flat))


@given(strength=st.sampled_from([0.0, 0.3]), seed=st.integers(0, 5))
def test_loss_and_penalty_together_have_the_gradient_of_their_sum(strength, seed):
    """The lab's Regularization and Sum layers, by central differences along the whole flat vector."""
    model = make_model()
    random = np.random.default_rng(seed)
    model.parameters.flat[...] = random.standard_normal(29)
    x, labels = random.standard_normal((5, 4)), random.integers(0, 2, 5)

    def total():
        logits, pullback = model.forward(x, train=True)
        loss, loss_pullback = nn.SoftmaxCrossEntropy().forward(logits, labels)
        penalty, penalty_pullback = nn.L2Penalty(strength).forward(model)
        value, sum_pullback = nn.LossSum().forward(loss, penalty)
        return value, pullback, loss_pullback, penalty_pullback, sum_pullback

    _, pullback, loss_pullback, penalty_pullback, sum_pullback = total()
    dloss, dpenalty = sum_pullback(2.0)
    pullback(loss_pullback(dloss))
    penalty_pullback(dpenalty)
    gradient, start, v = model.gradients.flat.copy(), model.parameters.flat.copy(), random.standard_normal(29)
    values = []
    for t in (1e-5, -1e-5):
        model.parameters.flat[...] = start + t * v
        values.append(float(total()[0]))
    np.testing.assert_allclose(gradient @ v, 2.0 * (values[0] - values[1]) / 2e-5, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "culprit"),
    [
        (
            lambda: nn.SoftmaxCrossEntropy(1.0),
            r"SoftmaxCrossEntropy: label_smoothing must be a number of at least 0 and below 1",
        ),
        (
            lambda: nn.SoftmaxCrossEntropy(class_weight=[1.0, -1.0]),
            r"class_weight\[1\] must be a finite number of at least 0, not -1.0",
        ),
        (lambda: nn.SoftmaxCrossEntropy(class_weight=[0.0, 0.0]), "class_weight must have a weight above 0"),
        (lambda: nn.Huber(0.0), "Huber: delta must be positive"),
        (lambda: nn.L2Penalty(-1.0), "L2Penalty: strength must be a finite number of at least 0"),
        (lambda: nn.L2Penalty(math.inf), "L2Penalty: strength"),
        (lambda: nn.L2Penalty(math.nan), "L2Penalty: strength"),
    ],
)
def test_bad_arguments_are_named(make, culprit):
    with pytest.raises(ValueError, match=culprit):
        make()
