"""The data that training takes: examples, labels, weights and mixed batches; and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.data import Batches, MixUp, Split
from xnn.training import Trainer

SEEDS = st.integers(0, 2**31)


def labels_with(label):
    return np.where(np.arange(48) == 7, label, small.separable(0)[1])


@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        (np.zeros((4, 6)), np.zeros(4, int), r"shape \(4, 6\); the model takes \(n, 5\)"),
        (np.zeros((4, 5)), np.zeros(3, int), "x has 4 examples but labels has 3"),
        (np.zeros((0, 5)), np.zeros(0, int), "no examples"),
        (np.zeros((48, 5)), labels_with(-1), "label -1 of image 7"),
        (np.zeros((48, 5)), labels_with(3), "labels must be from 0 to 2, .*, not 3"),
        (np.zeros((48, 5)), labels_with(200), "labels must be from 0 to 2, .*, not 200"),
        (np.zeros((48, 5)), np.zeros((48, 3)), r"that sum to 1; row 0 is \[0., 0., 0.\]"),
        (np.zeros((48, 5)), np.full((48, 2), 0.5), r"softmax_cross_entropy: labels must have shape \(48, 3\)"),
        (np.zeros((48, 5)), np.zeros((48, 1), int), "softmax_cross_entropy: labels must"),
    ],
)
def test_data_that_does_not_fit_is_refused(x, labels, message):
    trainer = small.make_trainer()
    for use in (lambda data: trainer.fit(data, epochs=1), trainer.evaluate):
        with pytest.raises((TypeError, ValueError), match=message):
            use((x, labels))


@given(seed=SEEDS, kept=st.sets(st.integers(0, 47), min_size=1))
def test_examples_with_a_weight_of_0_are_as_if_they_were_not_there(seed, kept):
    """In one whole batch without batch statistics, where the order doesn't matter."""
    x, labels = small.separable(seed)
    chosen = sorted(kept)
    losses, weights = [], []
    for data in ((x, labels, np.isin(np.arange(48), chosen)), (x[chosen], labels[chosen])):
        model = nn.Sequential(nn.Linear(3)).build((5,), backend="numpy", dtype="float64")
        trainer = Trainer(model, optim.SGD(model, 0.5))
        row = trainer.fit(data, data, epochs=1)[0]
        losses.append((row["train_loss"], row["validation_loss"]))
        weights.append(model.parameters.flat)
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    np.testing.assert_allclose(*weights, rtol=1e-10, atol=1e-12)


def test_the_weights_of_classes_are_in_the_training_loss_and_not_in_the_held_out_one():
    """With frozen weights, the two differ by the weights alone."""
    x, labels = small.separable(0)
    model = nn.Sequential(nn.Linear(3)).build((5,), backend="numpy", dtype="float64")
    model.freeze()
    weights = [1.0, 0.0, 3.0]
    loss = nn.SoftmaxCrossEntropy(class_weight=weights)
    row = Trainer(model, optim.SGD(model, 1.0), loss=loss, held_out_loss=nn.SoftmaxCrossEntropy()).fit(
        (x, labels), (x, labels), epochs=1
    )[0]
    single = nn.SoftmaxCrossEntropy()
    losses = np.array([float(single.forward(model(x[i : i + 1]), labels[i : i + 1])[0]) for i in range(48)])
    assert row["train_loss"] == pytest.approx(np.average(losses, weights=np.take(weights, labels)), rel=1e-12)
    assert row["validation_loss"] == pytest.approx(losses.mean(), rel=1e-12)


def test_labels_that_are_distributions_train_as_the_classes_do():
    x, labels = small.separable(0)
    # Accuracies are of the likeliest class.
    columns = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
    found = []
    for targets in (labels, np.eye(3)[labels]):
        trainer = small.make_trainer()
        history = trainer.fit((x, targets), (x, targets), epochs=2)
        found.append([value for name in columns for value in history.column(name)])
    assert found[1] == pytest.approx(found[0], rel=1e-10)
    softened = 0.6 * np.eye(3)[labels] + 0.4 * np.eye(3)[(labels + 1) % 3]
    assert trainer.evaluate((x, softened)).accuracy == trainer.evaluate((x, labels)).accuracy


@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 0.5)])
def test_mixed_batches_train_on_their_mixed_labels(backend, weights):
    """With frozen weights the row can be computed by hand; evaluation has whole images."""
    x, labels = small.separable(0)
    split = Split(x, labels)
    options = {"backend": backend, "dtype": "float64"}
    batches = Batches(split, 7, mix=MixUp(1.0), **options)
    model = nn.Sequential(nn.Linear(3)).build((5,), backend=backend, dtype="float64")
    model.freeze()
    loss = nn.SoftmaxCrossEntropy(0.1, class_weight=weights)
    trainer = Trainer(model, optim.SGD(model, 1.0), loss=loss, held_out_loss=nn.SoftmaxCrossEntropy())
    row = trainer.fit(batches, Batches(split, 48, shuffle=False, **options), epochs=1)[0]
    losses, right = 0.0, 0
    for batch in batches.epoch(0):
        images, shares = (backend.to_numpy(each) for each in batch)
        logits = backend.to_numpy(model(batch[0]))
        log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        weight = np.ones(3) if weights is None else np.asarray(weights)
        terms = (weight * (0.9 * shares + 0.1 / 3) * log_probability).sum()
        losses -= len(images) * terms / (weight * shares).sum()
        right += (np.argmax(logits, axis=1) == np.argmax(shares, axis=1)).sum()
    assert row["train_loss"] == pytest.approx(losses / 48, rel=1e-10)
    assert row["train_accuracy"] == right / 48
    plain = trainer.evaluate((x, labels))
    assert (row["validation_loss"], row["validation_accuracy"]) == pytest.approx((plain.loss, plain.accuracy))


@pytest.mark.parametrize(
    "loss", [nn.MSE(), nn.Huber(), nn.BinaryCrossEntropyWithLogits()], ids=lambda loss: type(loss).__name__
)
def test_other_losses_refuse_mixed_labels(loss):
    batches = Batches(Split(*small.separable(0)), 7, backend=make_backend("numpy"), mix=MixUp())
    said = f"^MixUp makes labels that are distributions .*, for which {type(loss).__name__} is no loss; train with nn"
    with pytest.raises(ValueError, match=said):
        small.make_trainer(loss=loss).fit(batches, epochs=1)


@pytest.mark.parametrize("given", [{"epochs": 1}, {}])
def test_arrays_side_by_side_as_in_keras_are_told_to_be_a_pair(given):
    x, labels = small.separable(0)
    said = r"^data must be a pair of arrays, as in fit\(\(x, labels\), epochs=5\), or Batches, not {}$"
    with pytest.raises(TypeError, match=said.format("ndarray")):
        small.make_trainer().fit(x, labels, **given)
    with pytest.raises(TypeError, match=said.format("list")):
        small.make_trainer().fit(x.tolist(), labels.tolist(), **given)


def test_targets_without_the_axis_of_the_one_output_are_refused():
    model = nn.Sequential(nn.Linear(1)).build((5,), dtype="float64")
    trainer = Trainer(model, optim.SGD(model, 0.1), loss=nn.MSE())
    with pytest.raises(ValueError, match=r"shape \(48, 1\) \(.*give target\[..., None\]\), not \(48,\)"):
        trainer.fit((small.separable(0)[0], np.zeros(48)), epochs=1)


def test_labels_that_are_fractions_are_named():
    x, labels = small.separable(0)
    with pytest.raises(ValueError, match=r"^label 0\.5 of image 0 is not a class; classes are whole numbers from 0$"):
        small.make_trainer().fit((x, labels + 0.5), epochs=1)


def test_whole_numbers_are_targets_of_another_loss():
    class Square:
        def forward(self, output, targets):
            error = output[:, 0] - targets
            count = error.shape[0]

            def pullback():
                return np.stack([2 * error / count] + [np.zeros(count)] * 2, axis=1)

            return np.mean(error**2), pullback

    trainer = small.make_trainer(loss=Square())
    x, _ = small.separable(0)
    trainer.fit((x, np.arange(48)), epochs=1)
