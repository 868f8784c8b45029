"""The loop: what it computes, what it reports, and that it learns."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from tests.training.small import StopAt, configured, without_times
from xnn import nn, optim
from xnn.training import Callback, Trainer, metrics
from xnn.training import trainer as trainer_module

SEEDS = st.integers(0, 2**31)


@given(seed=SEEDS, images=st.integers(2, 40), batch_size=st.integers(1, 50))
def test_epoch_loss_is_the_mean_over_its_images_whatever_the_batch_size(seed, images, batch_size):
    """With frozen weights and no batch statistics every image has one loss, in training and in evaluation."""
    model = nn.Sequential(nn.Linear(3)).build((5,), backend="numpy", seed=seed, dtype="float64")
    model.freeze()
    x, labels = small.separable(seed, images)
    trainer = Trainer(model, optim.SGD(model, 1.0))
    row = trainer.fit((x, labels), (x, labels), epochs=1, batch_size=batch_size)[0]
    logits = model(x)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(images), labels]
    assert row["train_loss"] == pytest.approx(losses.mean(), rel=1e-12)
    assert row["validation_loss"] == pytest.approx(losses.mean(), rel=1e-12)
    assert row["train_accuracy"] == np.mean(logits.argmax(axis=1) == labels)
    assert row["validation_accuracy"] == row["train_accuracy"]


@given(seed=SEEDS, optimizer=st.sampled_from(["sgd", "momentum", "adamw"]))
def test_loss_falls_on_a_separable_problem_for_any_seed(seed, optimizer):
    trainer = small.make_trainer(seed=seed, optimizer=optimizer)
    data = small.separable(seed)
    before = trainer.evaluate(data).loss
    trainer.fit(small.make_batches(trainer, seed), epochs=20)
    assert trainer.evaluate(data).loss < 0.5 * before


@given(every=st.integers(1, 6), epochs=st.integers(1, 6), stop=st.integers(1, 6))
def test_the_held_out_images_are_looked_at_when_due_and_at_the_end(every, epochs, stop):
    trainer = small.make_trainer(evaluate_every=every)
    data = small.separable(0)
    trainer.fit(data, data, until=min(stop, epochs))
    history = trainer.fit(data, data, until=epochs)
    due = {epoch for epoch in range(1, epochs + 1) if epoch % every == 0} | {min(stop, epochs), epochs}
    assert {row["epoch"] for row in history if "validation_loss" in row} == due


@pytest.mark.parametrize("penalty", [None, nn.L2Penalty(0.1)])
def test_first_step_is_the_gradient_of_the_loss_and_the_penalty(penalty):
    trainer = small.make_trainer(lr=1.0, penalty=penalty)
    model = trainer.model
    before = model.parameters.flat.copy()
    batches = small.make_batches(trainer, batch_size=48)
    x, labels = next(iter(batches.epoch(0)))
    logits, pullback = model.forward(x, train=True)
    _, loss_pullback = nn.SoftmaxCrossEntropy().forward(logits, labels)
    pullback(loss_pullback())
    gradient = model.gradients.flat.copy()
    if penalty is not None:
        for segment in model.segments():
            if segment.decay:
                gradient[segment.slice] += 0.1 * before[segment.slice]
    model.buffers.flat[...] = 0.0
    trainer.fit(batches, epochs=1)
    np.testing.assert_allclose(model.parameters.flat, before - gradient, rtol=1e-12, atol=1e-14)


def test_intervals_have_the_minibatch_loss_and_the_mean_since_the_last():
    log, every = StopAt(), StopAt()
    trainer, batches = configured({"log_every": 5}, callbacks=[log])
    trainer.fit(batches, epochs=3)
    single, batches = configured({"log_every": 1}, callbacks=[every])
    single.fit(batches, epochs=3)
    assert [row["step"] for row in log.rows] == [5, 10, 15, 20]
    sizes = [7, 7, 7, 7, 7, 7, 6] * 3
    losses = [row["minibatch_loss"] for row in every.rows]
    for row in log.rows:
        part = slice(row["step"] - 5, row["step"])
        assert row["minibatch_loss"] == losses[row["step"] - 1]
        assert row["interval_loss"] == pytest.approx(np.average(losses[part], weights=sizes[part]), rel=1e-14)
        assert row["passes"] == row["step"] / 7


def test_evaluation_uses_the_average_and_leaves_the_weights():
    trainer = small.make_trainer(average=0.9)
    batches = small.make_batches(trainer)
    trainer.fit(batches, epochs=2)
    weights = trainer.model.parameters.flat.copy()
    found = trainer.evaluate(batches)
    np.testing.assert_array_equal(trainer.model.parameters.flat, weights)
    trainer.model.parameters.flat[...] = trainer.average.average.parameters
    trainer.model.buffers.flat[...] = trainer.average.average.buffers
    trainer.average = None
    assert trainer.evaluate(batches) == found


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def fit_begin(self, trainer):
        self.calls.append("fit_begin")

    def epoch_begin(self, trainer):
        self.calls.append("epoch_begin")

    def interval(self, trainer, row):
        self.calls.append(f"interval {row['step']}")

    def epoch_end(self, trainer, row):
        self.calls.append(f"epoch_end {row['epoch']}")

    def fit_end(self, trainer):
        self.calls.append("fit_end")


def test_callbacks_are_called_in_order():
    recorder = Recorder()
    trainer = small.make_trainer(callbacks=[recorder], log_every=5)
    trainer.fit(small.make_batches(trainer), epochs=2)
    assert recorder.calls == [
        "fit_begin",
        *("epoch_begin", "interval 5", "epoch_end 1"),
        *("epoch_begin", "interval 10", "epoch_end 2"),
        "fit_end",
    ]


@pytest.mark.parametrize("epochs", [0, 1.5, 2.0, "2"])
def test_a_part_of_an_epoch_is_refused(epochs):
    with pytest.raises(ValueError, match=re.escape(f"epochs must be an integer of at least 1, not {epochs!r}")):
        small.make_trainer().fit(small.separable(0), epochs=epochs)


@pytest.mark.parametrize("how_long", [{}, {"epochs": 1, "until": 1}])
def test_fit_says_how_to_say_for_how_long(how_long):
    with pytest.raises(ValueError, match=r"^fit needs either epochs=N, for N more, or until=N, for N in all$"):
        small.make_trainer().fit(small.separable(0), **how_long)


def test_parts_of_another_model_are_refused():
    model, other = small.make_model(), small.make_model()
    with pytest.raises(ValueError, match="the optimizer is of another model"):
        Trainer(model, optim.SGD(other, 0.1))
    with pytest.raises(ValueError, match="the average is of another model"):
        Trainer(model, optim.SGD(model, 0.1), average=optim.ExponentialMovingAverage(other, 0.9))


def test_no_batch_and_no_interval_are_refused():
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, not 0"):
        small.make_trainer().fit(small.separable(0), epochs=1, batch_size=0)
    with pytest.raises(ValueError, match="log_every must be an integer of at least 1, not 0"):
        small.make_trainer(log_every=0)


def test_history_is_a_table_with_gaps_where_nothing_was_measured():
    trainer = small.make_trainer()
    data = small.separable(0)
    trainer.fit(data, epochs=1)
    history = trainer.fit(data, data, epochs=1)
    head, *rows = history.table().splitlines()
    assert head.split()[:3] == ["epoch", "train", "loss"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert [row.split().count("-") for row in rows] == [2, 0]
    assert history.column("epoch") == [1, 2]
    assert history.column("nothing") == [None, None]


@pytest.mark.parametrize("device", ["device1", "device2"])
def test_training_stays_on_a_second_device(device):
    """array-api-strict refuses to mix devices. Seven classes, for the five best to mean something."""
    pytest.importorskip("array_api_strict")
    histories = []
    for backend in ("numpy", f"array_api_strict:{device}"):
        model = small.make_model(backend, inputs=7, classes=7, dropout=0.2)
        optimizer = optim.SGD(model, 0.05, momentum=0.9, nesterov=True, weight_decay=0.01)
        average = optim.ExponentialMovingAverage(model, 0.8)
        trainer = Trainer(model, optimizer, average=average, penalty=nn.L2Penalty(0.01), clip_norm=0.5, log_every=3)
        data = small.separable(0, inputs=7, classes=7)
        trainer.fit(data, data, epochs=1, batch_size=10)
        trainer.load_state_dict(*trainer.state_dict())
        histories.append(trainer.fit(data, data, until=2, batch_size=10))
        assert trainer.model.parameters.flat.device == trainer.model.backend.device
    assert "validation_top5_accuracy" in histories[0][0]
    for expected, found in zip(*map(without_times, histories), strict=True):
        assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("glance", "most_pending", "expected"),
    [
        (1e9, 10**6, [0] * 7),
        # Whoever watches sees the loss as it is.
        (-1.0, 10**6, [0, 7, 14, 21, 28, 35, 42]),
        # More than 10 images never wait on the device for longer than a step.
        (1e9, 10, [0, 0, 14, 14, 28, 28, 42]),
    ],
)
def test_losses_are_read_seldom_but_often_enough(monkeypatch, glance, most_pending, expected):
    plain = small.make_trainer()
    data = small.separable(5)
    plain.fit(small.make_batches(plain), epochs=1)
    monkeypatch.setattr(trainer_module, "_GLANCE", glance)
    monkeypatch.setattr(metrics, "_MOST_PENDING", most_pending)
    trainer = small.make_trainer()
    seen = []
    batches = small.Watched(small.make_batches(trainer), lambda number: seen.append(trainer.epoch_sums.images))
    trainer.fit(batches, epochs=1)
    assert seen == expected
    assert without_times(trainer.history) == without_times(plain.history)
    assert trainer.evaluate(data, batch_size=7) == plain.evaluate(data, batch_size=7)
