"""The loop: what it reports, that it learns, that it can stop anywhere, that it notices divergence."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from xnn import nn, optim
from xnn.errors import NonFiniteLoss
from xnn.runs import checkpoints
from xnn.training import Callback, EarlyStopping, Trainer, metrics
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


CONFIGURATIONS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 3),
        "optimizer": st.sampled_from(["sgd", "momentum", "adamw"]),
        "dropout": st.sampled_from([0.0, 0.3]),
        "average": st.sampled_from([None, 0.8]),
        "log_every": st.integers(1, 9),
        "clip_norm": st.sampled_from([None, 0.5]),
    }
)


def configured(options, **more):
    trainer = small.make_trainer(
        **options,
        **more,
        schedule=optim.schedules.Cosine(0.05, 21, warmup_steps=3),
        penalty=nn.L2Penalty(1e-2),
    )
    return trainer, small.make_batches(trainer)


def without_times(history):
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")} for row in history
    ]


class StopAfter(Callback):
    """Stops after so many steps; takes down the intervals."""

    def __init__(self, step=None):
        self.step = step
        self.rows = []

    def interval(self, trainer, row):
        self.rows.append(row)

    def fit_begin(self, trainer):
        original = trainer.optimizer.step

        def step():
            original()
            if trainer.optimizer.steps == self.step:
                trainer.request_stop("a test", to_resume=True)

        trainer.optimizer.step = step


@given(options=CONFIGURATIONS, stop=st.integers(1, 21))
def test_a_run_resumed_after_any_step_ends_as_an_undisturbed_one_bit_for_bit(tmp_path_factory, options, stop):
    """3 epochs of 7 batches."""
    log = StopAfter()
    whole, batches = configured(options, callbacks=[log])
    whole.fit(batches, batches, epochs=3)

    first = StopAfter(stop)
    trainer, batches = configured(options, callbacks=[first])
    trainer.fit(batches, batches, epochs=3)
    assert trainer.step == stop
    assert trainer.interrupted == (stop < 21 or trainer.batch > 0)
    folder = tmp_path_factory.mktemp("checkpoints")
    saved = checkpoints.load(checkpoints.save(folder, *trainer.state_dict()))

    second = StopAfter()
    resumed, batches = configured(options | {"seed": options["seed"]}, callbacks=[second])
    resumed.load_state_dict(saved.arrays, saved.info)
    resumed.fit(batches, batches, epochs=3)

    assert without_times(resumed.history) == without_times(whole.history)
    assert first.rows + second.rows == log.rows
    expected, _ = whole.state_dict()
    arrays, _ = resumed.state_dict()
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert array.tobytes() == expected[name].tobytes(), name


def test_training_goes_on_where_it_was_when_fit_is_called_with_more_epochs():
    trainer, batches = configured({})
    trainer.fit(batches, epochs=1)
    trainer.fit(batches, epochs=3)
    whole, batches = configured({})
    whole.fit(batches, epochs=3)
    assert without_times(trainer.history) == without_times(whole.history)


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
    trainer.fit(data, data, epochs=min(stop, epochs))
    history = trainer.fit(data, data, epochs=epochs)
    due = {epoch for epoch in range(1, epochs + 1) if epoch % every == 0} | {min(stop, epochs), epochs}
    assert {row["epoch"] for row in history if "validation_loss" in row} == due


@given(stop=st.integers(1, 7), validated=st.booleans(), saved=st.booleans(), rate=st.sampled_from([1e-6, 0.02, 0.4]))
def test_a_row_has_the_rate_of_its_last_step_whatever_the_rate_is_by_then(stop, validated, saved, rate):
    """After 7 steps the epoch's row may still wait for the evaluation; then the rate that is set anew did nothing."""
    trainer, data = small.make_trainer(lr=0.05, callbacks=[StopAfter(stop)]), small.separable(1)
    batches = small.make_batches(trainer)
    trainer.fit(batches, data if validated else None, epochs=1)
    trainer.optimizer.lr = rate
    if saved:
        state, trainer = trainer.state_dict(), small.make_trainer()
        trainer.load_state_dict(*state)
    trainer.callbacks.clear()
    trainer.fit(batches, data, epochs=1)
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
    log, every = StopAfter(), StopAfter()
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


@given(batch_size=st.integers(1, 60))
def test_evaluation_does_not_depend_on_the_batch_size(batch_size):
    trainer = small.make_trainer()
    x, labels = small.separable(3)
    whole = trainer.evaluate((x, labels), batch_size=48)
    parts = trainer.evaluate((x, labels), batch_size=batch_size)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-13)
    assert (parts.accuracy, parts.images) == (whole.accuracy, 48)


def test_divergence_is_one_clear_error_that_names_the_step():
    trainer = small.make_trainer(lr=1e200, log_every=1)
    with pytest.raises(NonFiniteLoss, match=r"training loss became (nan|inf) in epoch 1, step \d.*lower --lr"):
        trainer.fit(small.make_batches(trainer), epochs=3)


def test_divergence_names_the_same_step_however_seldom_losses_are_read():
    steps = set()
    for log_every in (1, 2, 1000):
        trainer = small.make_trainer(lr=1e200, log_every=log_every)
        with pytest.raises(NonFiniteLoss) as caught:
            trainer.fit(small.make_batches(trainer), epochs=3)
        steps.add(re.search(r"step (\d+)", str(caught.value))[1])
    assert len(steps) == 1


def test_an_infinite_validation_loss_is_divergence_too():
    trainer = small.make_trainer()
    x, labels = small.separable(0)
    with pytest.raises(NonFiniteLoss, match="validation loss became"):
        trainer.fit((x, labels), (x * np.inf, labels), epochs=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_data_that_is_not_finite_is_named_and_the_learning_rate_is_not_blamed(value):
    """1e300 is infinite in float32."""
    trainer = Trainer(model := small.make_model(dtype="float32"), optim.SGD(model, 0.05))
    x, labels = small.separable(0)
    spoilt = x.copy()
    spoilt[17, 3] = value
    said = r"became (nan|inf) in epoch 1, step \d+: the {} data holds NaN or infinity, first in example 17 \(from 0\)$"
    with np.errstate(over="ignore"):
        with pytest.raises(NonFiniteLoss, match="training loss " + said.format("training")):
            trainer.fit((spoilt, labels), epochs=1, batch_size=7)
        trainer = Trainer(model := small.make_model(dtype="float32"), optim.SGD(model, 0.05))
        with pytest.raises(NonFiniteLoss, match="validation loss " + said.format("validation")):
            trainer.fit((x, labels), (spoilt, labels), epochs=1)


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


@given(values=st.lists(st.integers(0, 5), min_size=1, max_size=12), patience=st.integers(1, 4))
def test_early_stopping_waits_as_long_as_it_was_told(values, patience):
    trainer = small.make_trainer()
    stopping = EarlyStopping(patience)
    stopped = None
    for epoch, value in enumerate(values):
        trainer.history.append({"epoch": epoch + 1, "validation_loss": float(value)})
        stopping.epoch_end(trainer, trainer.history[-1])
        if trainer.stop_reason:
            stopped = epoch
            break
    first_best = [values.index(min(values[: epoch + 1])) for epoch in range(len(values))]
    waited = [epoch - best for epoch, best in enumerate(first_best)]
    assert stopped == next((epoch for epoch, age in enumerate(waited) if age >= patience), None)


def test_early_stopping_looks_at_the_history_before_it_trains_on():
    trainer = small.make_trainer(callbacks=[EarlyStopping(2)])
    trainer.history.extend({"epoch": epoch, "validation_loss": loss} for epoch, loss in enumerate((1.0, 2.0, 3.0), 1))
    trainer.epoch = 3
    data = small.separable(0)
    trainer.fit(data, data, epochs=9)
    assert (trainer.step, trainer.interrupted) == (0, False)
    assert trainer.stop_reason == "validation_loss has not improved for 2 epochs"


def test_early_stopping_passes_over_epochs_without_validation():
    trainer = small.make_trainer(callbacks=[])
    data = small.separable(0)
    trainer.fit(data, epochs=2)
    trainer.callbacks.append(EarlyStopping(1))
    trainer.fit(data, data, epochs=3)
    assert (trainer.epoch, trainer.stop_reason) == (3, None)


def test_a_signal_does_not_take_the_place_of_an_earlier_reason():
    trainer = small.make_trainer()
    trainer.epochs = 5
    trainer.request_stop("done")
    trainer.request_stop("SIGTERM", to_resume=True)
    assert (trainer.stop_reason, trainer.interrupted) == ("done", False)


def test_early_stopping_wants_accuracies_to_grow():
    trainer = small.make_trainer()
    stopping = EarlyStopping(1, "validation_accuracy")
    for value in (0.1, 0.5, 0.4):
        trainer.history.append({"validation_accuracy": value})
        stopping.epoch_end(trainer, trainer.history[-1])
    assert trainer.stop_reason is not None


def test_early_stopping_without_patience_is_refused():
    with pytest.raises(ValueError, match="patience must be an integer of at least 1, not 0"):
        EarlyStopping(0)


def test_early_stopping_names_a_metric_that_is_not_there():
    trainer = small.make_trainer(callbacks=[EarlyStopping(1)])
    with pytest.raises(ValueError, match="watches 'validation_loss'; the history has epoch, train_loss"):
        trainer.fit(small.make_batches(trainer), epochs=1)


@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        (np.zeros((4, 6)), np.zeros(4, int), r"shape \(4, 6\); the model takes \(n, 5\)"),
        (np.zeros((4, 5)), np.zeros(3, int), "x has 4 examples but labels has 3"),
        (np.zeros((0, 5)), np.zeros(0, int), "no examples"),
    ],
)
def test_data_that_does_not_fit_is_refused(x, labels, message):
    trainer = small.make_trainer()
    with pytest.raises(ValueError, match=message):
        trainer.fit((x, labels), epochs=1)
    with pytest.raises(ValueError, match=message):
        trainer.evaluate((x, labels))


@pytest.mark.parametrize("label", [-1, 3, 200])
def test_labels_that_are_no_class_are_refused(label):
    trainer = small.make_trainer()
    x, labels = small.separable(0)
    labels[7] = label
    for use in (lambda data: trainer.fit(data, epochs=1), trainer.evaluate):
        with pytest.raises(ValueError, match=f"labels must be from 0 to 2, .*, not {label}|label {label} of image 7"):
            use((x, labels))


@pytest.mark.parametrize("labels", [np.zeros((48, 3)), np.zeros((48, 1), int)])
def test_labels_that_are_no_class_indices_are_refused(labels):
    trainer = small.make_trainer()
    x, _ = small.separable(0)
    for use in (lambda data: trainer.fit(data, epochs=1), trainer.evaluate):
        with pytest.raises((TypeError, ValueError), match="softmax_cross_entropy: labels must"):
            use((x, labels))


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


@pytest.mark.parametrize("epochs", [1.5, 2.0, "2"])
def test_a_part_of_an_epoch_is_refused(epochs):
    with pytest.raises(ValueError, match=re.escape(f"epochs must be an integer of at least 1, not {epochs!r}")):
        small.make_trainer().fit(small.separable(0), epochs=epochs)


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


def test_no_epochs_no_batch_and_no_interval_are_refused():
    trainer = small.make_trainer()
    data = small.separable(0)
    with pytest.raises(ValueError, match="epochs must be an integer of at least 1, not 0"):
        trainer.fit(data, epochs=0)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, not 0"):
        trainer.fit(data, epochs=1, batch_size=0)
    with pytest.raises(ValueError, match="log_every must be an integer of at least 1, not 0"):
        small.make_trainer(log_every=0)


@pytest.mark.parametrize(
    "change",
    [
        {"average": 0.5},
        {"optimizer": "momentum"},
    ],
)
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


def test_history_is_a_table():
    trainer = small.make_trainer()
    data = small.separable(0)
    history = trainer.fit(data, data, epochs=2)
    lines = history.table().splitlines()
    assert lines[0].split()[:3] == ["epoch", "train", "loss"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2"]
    assert history.column("epoch") == [1, 2]
    assert history.column("nothing") == [None, None]


def test_the_table_of_a_history_has_gaps_where_nothing_was_measured():
    trainer, data = small.make_trainer(), small.separable(0)
    trainer.fit(data, epochs=1)
    _, *rows = trainer.fit(data, data, epochs=2).table().splitlines()
    assert [row.split().count("-") for row in rows] == [2, 0]


ALL_AT_ONCE = {"dropout": 0.2, "optimizer": "momentum", "average": 0.8, "clip_norm": 0.5, "log_every": 1}


def test_same_losses_on_every_backend(backend):
    rows, histories = {}, {}
    for name in {"numpy", backend.name}:
        log = StopAfter()
        trainer, batches = configured(ALL_AT_ONCE | {"backend": name}, callbacks=[log])
        histories[name] = trainer.fit(batches, batches, epochs=3)
        rows[name] = [row["minibatch_loss"] for row in log.rows]
    assert len(rows[backend.name]) == 21
    np.testing.assert_allclose(rows[backend.name], rows["numpy"], rtol=1e-10)
    for column in ("validation_loss", "validation_accuracy", "train_accuracy"):
        np.testing.assert_allclose(
            histories[backend.name].column(column), histories["numpy"].column(column), rtol=1e-10
        )


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
        histories.append(trainer.fit(data, data, epochs=2, batch_size=10))
        assert trainer.model.parameters.flat.device == trainer.model.backend.device
    assert "validation_top5_accuracy" in histories[0][0]
    for expected, found in zip(*map(without_times, histories), strict=True):
        assert found == pytest.approx(expected, rel=1e-10)


def test_resuming_is_exact_on_every_backend(tmp_path, backend):
    whole, batches = configured(ALL_AT_ONCE | {"backend": backend})
    whole.fit(batches, batches, epochs=2)
    trainer, batches = configured(ALL_AT_ONCE | {"backend": backend}, callbacks=[StopAfter(10)])
    trainer.fit(batches, batches, epochs=2)
    saved = checkpoints.load(checkpoints.save(tmp_path, *trainer.state_dict()))
    resumed, batches = configured(ALL_AT_ONCE | {"backend": backend})
    resumed.load_state_dict(saved.arrays, saved.info)
    resumed.fit(batches, batches, epochs=2)
    assert without_times(resumed.history) == without_times(whole.history)
    expected, _ = whole.state_dict()
    for name, array in resumed.state_dict()[0].items():
        assert array.tobytes() == expected[name].tobytes(), name


class Breaking:
    """Batches that break off after some."""

    def __init__(self, batches, after):
        self.batches, self.after = batches, after

    def __len__(self):
        return len(self.batches)

    def epoch(self, epoch, start=0):
        for number, batch in enumerate(self.batches.epoch(epoch, start)):
            if number == self.after:
                raise KeyboardInterrupt
            yield batch


def test_losses_left_by_an_exception_do_not_count_after_going_back():
    trainer, undisturbed = small.make_trainer(), small.make_trainer()
    before = trainer.state_dict()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(Breaking(small.make_batches(trainer), after=2), epochs=1)
    trainer.load_state_dict(*before)
    for one in (trainer, undisturbed):
        one.fit(small.make_batches(one), epochs=1)
    assert without_times(trainer.history) == without_times(undisturbed.history)


class Watching:
    """Batches that note, before each, how many images the trainer's sums have."""

    def __init__(self, batches, trainer):
        self.batches, self.trainer, self.seen = batches, trainer, []

    def __len__(self):
        return len(self.batches)

    def epoch(self, epoch, start=0):
        for batch in self.batches.epoch(epoch, start):
            self.seen.append(self.trainer.epoch_sums.images)
            yield batch


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
    watching = Watching(small.make_batches(trainer), trainer)
    trainer.fit(watching, epochs=1)
    assert watching.seen == expected
    assert without_times(trainer.history) == without_times(plain.history)
    assert trainer.evaluate(data, batch_size=7) == plain.evaluate(data, batch_size=7)
