import inspect
import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn.testing.strategies import arrays, labels, shapes

from .peer import assert_equals_torch

smoothings = st.sampled_from([0.0, 0.1, 0.7])


@st.composite
def classified(draw):
    n, classes = draw(shapes(2, 2, max_side=6))
    return draw(arrays((n, classes))), draw(labels(n, classes))


@given(case=classified(), smoothing=smoothings)
def test_cross_entropy_equals_its_definition(case, smoothing):
    logits, labels = case
    n, classes = logits.shape
    target = np.full((n, classes), smoothing / classes)
    target[np.arange(n), labels] += 1 - smoothing
    probability, _ = F.softmax(logits)
    loss, pullback = F.softmax_cross_entropy(logits, labels, smoothing)
    np.testing.assert_allclose(loss, -np.sum(target * np.log(probability)) / n, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(pullback(), (probability - target) / n, rtol=0, atol=1e-14)
    np.testing.assert_allclose(pullback(-3.0), -3.0 * pullback(), rtol=1e-14)


@given(case=classified(), smoothing=smoothings)
def test_cross_entropy_gradient_rows_sum_to_zero(backend, case, smoothing):
    logits, labels = map(backend.asarray, case)
    _, pullback = F.softmax_cross_entropy(logits, labels, smoothing)
    np.testing.assert_allclose(backend.to_numpy(pullback()).sum(1), 0.0, atol=1e-14)


@given(case=classified(), smoothing=smoothings, repeats=st.integers(2, 4))
def test_the_mean_does_not_depend_on_how_often_a_batch_is_repeated(case, smoothing, repeats):
    logits, labels = case
    loss, pullback = F.softmax_cross_entropy(logits, labels, smoothing)
    again, again_pullback = F.softmax_cross_entropy(np.tile(logits, (repeats, 1)), np.tile(labels, repeats), smoothing)
    np.testing.assert_allclose(again, loss, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(again_pullback()[: len(labels)], pullback() / repeats, rtol=1e-12, atol=1e-15)


@given(case=classified(), smoothing=smoothings)
def test_cross_entropy_equals_torch(case, smoothing):
    torch = pytest.importorskip("torch")
    logits, labels = case
    peer = partial(torch.nn.functional.cross_entropy, target=torch.tensor(labels), label_smoothing=smoothing)
    function = partial(F.softmax_cross_entropy, labels=labels, label_smoothing=smoothing)
    assert_equals_torch(function, peer, logits, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_stable_at_large_logits(backend, dtype, smoothing):
    logits = backend.asarray(np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]]), dtype)
    loss, pullback = F.softmax_cross_entropy(logits, backend.asarray(np.array([1, 1, 0])), smoothing)
    wrong = 2e4 * (1 - smoothing / 2)
    np.testing.assert_allclose(float(backend.to_numpy(loss)), (wrong + smoothing * 1e4 + np.log(2)) / 3, rtol=1e-6)
    assert np.all(np.isfinite(backend.to_numpy(pullback())))


def test_a_class_that_is_ruled_out_costs_nothing(backend):
    logits = backend.asarray(np.array([[0.0, -np.inf, 0.0]]))
    loss, pullback = F.softmax_cross_entropy(logits, backend.asarray(np.array([0])))
    np.testing.assert_allclose(float(backend.to_numpy(loss)), np.log(2))
    np.testing.assert_allclose(backend.to_numpy(pullback()), [[-0.5, 0.0, 0.5]])


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_a_label_outside_the_classes_makes_the_loss_nan(backend, label):
    logits = backend.asarray(np.zeros((2, 3)))
    loss, _ = F.softmax_cross_entropy(logits, backend.asarray(np.array([0, label])))
    assert np.isnan(backend.to_numpy(loss))


ONE_EACH = "labels must have shape (2,) (one for each row of logits)"
SMOOTHING = "label_smoothing must be a number of at least 0 and below 1"


@pytest.mark.parametrize(
    ("logits", "labels", "smoothing", "culprit"),
    [
        *(((2, 3), shape, 0.0, f"{ONE_EACH}, not {shape}") for shape in ((3,), (2, 1))),
        ((3,), (3,), 0.0, "logits must have 2 axes (n, classes), not the shape (3,)"),
        *(((2, 3), (2,), bad, f"{SMOOTHING}, not {bad}") for bad in (1.0, -0.1, np.nan)),
        ((0, 3), (0,), 0.0, "the mean over an empty batch is undefined (shape (0, 3))"),
    ],
)
def test_cross_entropy_names_what_is_wrong(logits, labels, smoothing, culprit):
    with pytest.raises(ValueError, match=f"^{re.escape(f'softmax_cross_entropy: {culprit}')}$"):
        F.softmax_cross_entropy(np.ones(logits), np.ones(labels, dtype=int), smoothing)


def test_labels_of_another_library_are_named():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match=r"^softmax_cross_entropy: labels are of \S*strict, logits of \S*numpy$"):
        F.softmax_cross_entropy(np.ones((2, 3)), strict.zeros(2, dtype=strict.int64))


@given(data=st.data())
def test_binary_cross_entropy_is_that_of_two_classes(data):
    z = data.draw(arrays((5,)))
    targets = data.draw(labels(5, 2))
    loss, pullback = F.binary_cross_entropy_with_logits(z, targets.astype(float))
    two, two_pullback = F.softmax_cross_entropy(np.stack([np.zeros(5), z], axis=1), targets)
    np.testing.assert_allclose(loss, two, rtol=1e-12)
    np.testing.assert_allclose(pullback(), two_pullback()[:, 1], rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_cross_entropy_is_stable_at_large_logits(backend, dtype):
    z, targets = (backend.asarray(np.array(row), dtype) for row in ([1e4, -1e4, 1e4, -1e4], [1.0, 0.0, 0.0, 0.25]))
    loss, pullback = F.binary_cross_entropy_with_logits(z, targets)
    np.testing.assert_allclose(float(backend.to_numpy(loss)), (1e4 + 0.25e4) / 4, rtol=1e-6)
    np.testing.assert_allclose(backend.to_numpy(pullback()), [0.0, 0.0, 0.25, -0.0625], rtol=1e-6)


BCE = F.binary_cross_entropy_with_logits
PAIRS = {BCE: BCE.__name__, F.mse: "mse_loss", F.huber: "huber_loss"}


@pytest.mark.parametrize(("function", "peer"), PAIRS.items())
@given(data=st.data())
def test_other_losses_equal_torch(function, peer, data):
    torch = pytest.importorskip("torch")
    shape = data.draw(shapes(1, 3))
    prediction, target = data.draw(arrays(shape)), (data.draw(arrays(shape)) + 3) / 6
    peer = partial(getattr(torch.nn.functional, peer), target=torch.tensor(target))
    assert_equals_torch(lambda prediction: function(prediction, target), peer, prediction, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("function", PAIRS)
def test_a_loss_that_nothing_follows_needs_no_gradient(backend, function):
    x, target = backend.asarray(np.array([[0.5, 2.0]])), backend.asarray(np.array([[1.0, 0.0]]))
    _, pullback = function(x, target)
    np.testing.assert_array_equal(backend.to_numpy(pullback()), backend.to_numpy(pullback(1.0)))


@given(data=st.data(), delta=st.sampled_from([0.25, 2.0]))
def test_huber_is_half_the_square_inside_and_a_line_outside(data, delta):
    error = data.draw(arrays((4,)))
    loss, _ = F.huber(error, np.zeros(4), delta)
    size = np.abs(error)
    np.testing.assert_allclose(loss, np.mean(np.where(size <= delta, size**2 / 2, delta * (size - delta / 2))))


@pytest.mark.parametrize("function", PAIRS)
def test_pairs_that_do_not_fit(function):
    name, (first, second, *_) = function.__name__, inspect.signature(function).parameters
    with pytest.raises(ValueError, match=rf"^{name}: {second} must have shape \(2,\) \(that of {first}\), not \(3,\)$"):
        function(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=rf"^{name}: the mean over an empty batch is undefined \(shape \(0,\)\)$"):
        function(np.ones(0), np.ones(0))


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan])
def test_huber_needs_a_positive_delta(delta):
    with pytest.raises(ValueError, match="huber: delta must be positive"):
        F.huber(np.ones(2), np.ones(2), delta)


@given(data=st.data(), strength=st.sampled_from([0.0, 0.5, 3.0]))
def test_l2_penalty_is_its_formula(data, strength):
    weight = data.draw(shapes(1, 3).flatmap(arrays))
    loss, pullback = F.l2_penalty(weight, strength)
    np.testing.assert_allclose(loss, strength / 2 * np.sum(weight**2), rtol=1e-13)
    np.testing.assert_allclose(pullback(2.0), 2.0 * strength * weight, rtol=1e-13)
    np.testing.assert_array_equal(pullback(), pullback(1.0))


@pytest.mark.parametrize("strength", [-1e-3, np.nan])
def test_l2_penalty_needs_a_strength_that_is_not_negative(strength):
    with pytest.raises(ValueError, match="l2_penalty: strength must not be negative"):
        F.l2_penalty(np.ones(2), strength)


@given(losses=st.lists(st.floats(-10, 10), min_size=1, max_size=5))
def test_the_sum_of_losses_hands_its_gradient_to_each(backend, losses):
    total, pullback = F.sum_losses(*(backend.asarray(np.asarray(loss)) for loss in losses))
    np.testing.assert_allclose(float(backend.to_numpy(total)), sum(losses), rtol=1e-12, atol=1e-12)
    assert pullback(2.5) == (2.5,) * len(losses)
    assert pullback() == (1.0,) * len(losses)


def test_the_sum_of_losses_needs_losses():
    with pytest.raises(ValueError, match=r"^sum_losses: give at least one loss$"):
        F.sum_losses()
    with pytest.raises(
        ValueError, match=r"^sum_losses: loss 1 must have shape \(\) \(a loss is one number\), not \(2,\)$"
    ):
        F.sum_losses(np.ones(()), np.ones(2))


@given(data=st.data(), classes=st.integers(257, 300))
def test_narrow_types_of_labels_hold_for_many_classes(data, classes):
    logits = np.random.default_rng(data.draw(st.integers(0, 9))).standard_normal((4, classes))
    wide = data.draw(labels(4, 256))
    loss, pullback = F.softmax_cross_entropy(logits, wide.astype("uint8"))
    expected, expected_pullback = F.softmax_cross_entropy(logits, wide)
    assert loss == expected
    np.testing.assert_array_equal(pullback(), expected_pullback())


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([1, 2], "an array, not list"), (None, "an array"), (np.ones(2), r"integers \(class indices\), not float64$")],
)
def test_labels_that_are_no_array_of_integers_are_named(labels, kind):
    with pytest.raises(TypeError, match=f"^softmax_cross_entropy: labels must be {kind}"):
        F.softmax_cross_entropy(np.ones((2, 3)), labels)
