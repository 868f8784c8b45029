"""The loop: what it reports, that it learns, that it can stop anywhere, that it notices divergence."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from tests.training.small import StopAt, without_times
from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.data import Batches, MixUp, Split
from xnn.errors import NonFiniteLoss
from xnn.runs import checkpoints
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


def configured(options, **more):
    schedule = optim.schedules.Cosine(0.05, 21, warmup_steps=3)
    trainer = small.make_trainer(**options, **more, schedule=schedule, penalty=nn.L2Penalty(1e-2))
    return trainer, small.make_batches(trainer)


def test_a_stop_during_evaluation_leaves_the_epoch_open():
    class Stop(Callback):
        def interval(self, trainer, row):
            if trainer.batch == 7:
                trainer.request_stop("now")

    trainer, batches = configured({"log_every": 7}, callbacks=[Stop()])
    trainer.fit(batches, batches, epochs=3)
    assert (trainer.epoch, trainer.batch, len(trainer.history)) == (0, 7, 0)


@given(every=st.integers(1, 6), epochs=st.integers(1, 6), stop=st.integers(1, 6))
def test_the_held_out_images_are_looked_at_when_due_and_at_the_end(every, epochs, stop):
    trainer = small.make_trainer(evaluate_every=every)
    data = small.separable(0)
    trainer.fit(data, data, until=min(stop, epochs))
    history = trainer.fit(data, data, until=epochs)
    due = {epoch for epoch in range(1, epochs + 1) if epoch % every == 0} | {min(stop, epochs), epochs}
    assert {row["epoch"] for row in history if "validation_loss" in row} == due


@given(stop=st.integers(1, 7), validated=st.booleans(), saved=st.booleans(), rate=st.sampled_from([1e-6, 0.02, 0.4]))
def test_a_row_has_the_rate_of_its_last_step_whatever_the_rate_is_by_then(stop, validated, saved, rate):
    """After 7 steps the epoch's row may still wait for the evaluation; then the rate that is set anew did nothing."""
    trainer, data = small.make_trainer(lr=0.05, callbacks=[StopAt(stop)]), small.separable(1)
    batches = small.make_batches(trainer)
    trainer.fit(batches, data if validated else None, epochs=1)
    trainer.optimizer.lr = rate
    if saved:
        state, trainer = trainer.state_dict(), small.make_trainer()
        trainer.load_state_dict(*state)
    trainer.callbacks.clear()
    trainer.fit(batches, data, until=1)
    assert trainer.history.column("lr") == [0.05 if stop == 7 else rate]


def test_a_checkpoint_without_the_rate_of_the_last_step_is_loaded():
    """As checkpoints were before it was kept."""
    trainer = small.make_trainer(lr=0.05)
    arrays, info = trainer.state_dict()
    del info["last_lr"]
    trainer.load_state_dict(arrays, info)
    assert trainer.last_lr == 0.05


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


def test_divergence_names_the_same_step_however_seldom_losses_are_read():
    steps = set()
    for log_every in (1, 2, 1000):
        trainer = small.make_trainer(lr=1e200, log_every=log_every)
        with pytest.raises(NonFiniteLoss) as caught:
            trainer.fit(small.make_batches(trainer), epochs=3)
        told = r"the training loss became (?:nan|inf) in epoch 1, step (\d+).*lower --lr"
        steps.add(re.match(told, str(caught.value))[1])
    assert len(steps) == 1


def test_an_infinite_validation_loss_is_divergence_too():
    trainer = small.make_trainer()
    x, labels = small.separable(0)
    with pytest.raises(NonFiniteLoss, match="validation loss became"):
        trainer.fit((x, labels), (x * np.inf, labels), epochs=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_data_that_is_not_finite_is_named_and_the_learning_rate_is_not_blamed(value):
    """1e300 is infinite in float32."""
    x, labels = small.separable(0)
    spoilt = x.copy()
    spoilt[17, 3] = value
    said = r"became (nan|inf) in epoch 1, step \d+: the {0} data holds NaN or infinity, first in example 17 \(from 0\)$"
    for name, data in (("training", [(spoilt, labels)]), ("validation", [(x, labels), (spoilt, labels)])):
        trainer = Trainer(model := small.make_model(dtype="float32"), optim.SGD(model, 0.05))
        with np.errstate(over="ignore"), pytest.raises(NonFiniteLoss, match=f"{name} loss " + said.format(name)):
            trainer.fit(*data, epochs=1, batch_size=7)


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


def test_a_signal_does_not_take_the_place_of_an_earlier_reason():
    trainer = small.make_trainer()
    trainer.epochs = 5
    trainer.request_stop("done")
    trainer.request_stop("SIGTERM", to_resume=True)
    assert (trainer.stop_reason, trainer.interrupted) == ("done", False)


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


@pytest.mark.parametrize("epochs", [0, 1.5, 2.0, "2"])
def test_a_part_of_an_epoch_is_refused(epochs):
    with pytest.raises(ValueError, match=re.escape(f"epochs must be an integer of at least 1, not {epochs!r}")):
        small.make_trainer().fit(small.separable(0), epochs=epochs)


@pytest.mark.parametrize("how_long", [{}, {"epochs": 1, "until": 1}])
def test_fit_says_how_to_say_for_how_long(how_long):
    with pytest.raises(ValueError, match=r"^fit needs either epochs=N, for N more, or until=N, for N in all$"):
        small.make_trainer().fit(small.separable(0), **how_long)


@given(first=st.integers(1, 3), second=st.integers(1, 3), batch_size=st.integers(5, 50))
def test_a_second_fit_trains_again_and_on_its_own_data(first, second, batch_size):
    """As a trainer does that is put where the first call ended, and sees only the new data."""
    trainer, fresh = small.make_trainer(), small.make_trainer()
    trainer.fit(small.separable(0), epochs=first)
    fresh.load_state_dict(*trainer.state_dict())
    x, labels = small.separable(1, images=31)
    history = trainer.fit((x, labels), (x, labels), epochs=second, batch_size=batch_size)
    fresh.fit((x.copy(), labels), (x, labels), until=first + second, batch_size=batch_size)
    assert history.column("epoch") == list(range(1, first + second + 1))
    assert small.comparable(*trainer.state_dict()) == small.comparable(*fresh.state_dict())


def test_passes_count_epochs_also_where_the_second_data_has_other_batches():
    log = StopAt()
    trainer = small.make_trainer(callbacks=[log], log_every=1)
    data = small.separable(0)
    trainer.fit(data, epochs=1, batch_size=24)
    trainer.fit(data, epochs=1, batch_size=12)
    assert [row["passes"] for row in log.rows] == [0.5, 1.0, 1.25, 1.5, 1.75, 2.0]


def test_the_rest_of_an_epoch_is_not_taken_from_data_with_fewer_batches():
    trainer = small.make_trainer(callbacks=[StopAt(5)])
    data = small.separable(0)
    trainer.fit(data, epochs=3, batch_size=7)
    with pytest.raises(ValueError, match=r"after batch 5 of an epoch, and this data has 4 batches an epoch; finish"):
        trainer.fit(data, epochs=1, batch_size=12)
    trainer.fit(data, epochs=1, batch_size=7)
    assert (trainer.epoch, trainer.step) == (1, 7)


def test_parts_of_another_model_are_refused():
    model, other = small.make_model(), small.make_model()
    with pytest.raises(ValueError, match="the optimizer is of another model"):
        Trainer(model, optim.SGD(other, 0.1))
    with pytest.raises(ValueError, match="the average is of another model"):
        Trainer(model, optim.SGD(model, 0.1), average=optim.ExponentialMovingAverage(other, 0.9))


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [(None, "1e+200"), (optim.schedules.OneCycle(1e210, 1000), "1e+210"), (lambda step: 1e220, "1e+220")],
)
def test_divergence_names_the_highest_learning_rate(schedule, rate):
    trainer = small.make_trainer(lr=1e200, schedule=schedule)
    with pytest.raises(NonFiniteLoss, match=re.escape(f"try a lower --lr than {rate}, ")):
        trainer.fit(small.make_batches(trainer), epochs=20)


def test_no_batch_and_no_interval_are_refused():
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, not 0"):
        small.make_trainer().fit(small.separable(0), epochs=1, batch_size=0)
    with pytest.raises(ValueError, match="log_every must be an integer of at least 1, not 0"):
        small.make_trainer(log_every=0)


@pytest.mark.parametrize("change", [{"average": 0.5}, {"optimizer": "momentum"}])
def test_another_trainers_state_is_refused(change):
    state = small.make_trainer().state_dict()
    other = small.make_trainer(**change)
    before = other.model.parameters.flat.copy()
    with pytest.raises(ValueError, match=r"average|slot"):
        other.load_state_dict(*state)
    np.testing.assert_array_equal(other.model.parameters.flat, before)


def test_another_models_state_is_refused_by_name():
    arrays, info = small.make_trainer().state_dict()
    model = small.make_model(classes=4)
    other = Trainer(model, optim.SGD(model, 0.1))
    with pytest.raises(ValueError, match=r"another model: this one has .*\[8, 4\].*the saved one .*\[8, 3\]"):
        other.load_state_dict(arrays, info)
    model = small.make_model(dtype="float32")
    with pytest.raises(ValueError, match="dtype float64, the model of float32"):
        Trainer(model, optim.SGD(model, 0.1)).load_state_dict(arrays, info)


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


@pytest.mark.parametrize("stop", [1, 7, 10, 14])
def test_resuming_is_exact_on_every_backend(tmp_path, backend, stop):
    """2 epochs of 7 batches; on NumPy, test_stateful.py does it in all ways there are."""
    log, first, second = StopAt(), StopAt(stop), StopAt()
    options = {"dropout": 0.2, "optimizer": "momentum", "average": 0.8, "clip_norm": 0.5, "log_every": 3}
    options["backend"] = backend
    whole, batches = configured(options, callbacks=[log])
    whole.fit(batches, batches, epochs=2)
    trainer, batches = configured(options, callbacks=[first])
    trainer.fit(batches, batches, epochs=2)
    assert (trainer.step, trainer.interrupted) == (stop, True)
    saved = checkpoints.load(checkpoints.save(tmp_path, *trainer.state_dict()))
    resumed, batches = configured(options, callbacks=[second])
    resumed.load_state_dict(saved.arrays, saved.info)
    resumed.fit(batches, batches, until=2)
    assert small.comparable(*resumed.state_dict()) == small.comparable(*whole.state_dict())
    assert first.rows + second.rows == log.rows


def test_losses_left_by_an_exception_do_not_count_after_going_back():
    def interrupt(number):
        if number == 3:
            raise KeyboardInterrupt

    trainer, undisturbed = small.make_trainer(), small.make_trainer()
    before = trainer.state_dict()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(small.Watched(small.make_batches(trainer), interrupt), epochs=1)
    trainer.load_state_dict(*before)
    for one in (trainer, undisturbed):
        one.fit(small.make_batches(one), epochs=1)
    assert without_times(trainer.history) == without_times(undisturbed.history)


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
