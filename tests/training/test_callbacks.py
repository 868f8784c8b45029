"""Stopping early: when, and with which weights."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from tests.training.small import StopAt
from xnn.training import Callback, EarlyStopping


class Told(Callback):
    """Replaces what evaluations found, and keeps the weights of each epoch that had one."""

    def __init__(self, metric, values):
        self.metric, self.values, self.weights = metric, iter(values), {}

    def epoch_end(self, trainer, row):
        if self.metric in row:
            row[self.metric] = next(self.values)
            self.weights[row["epoch"]] = trainer.model.parameters.flat.copy()


def stop_by_hand(values, patience):
    """Return the numbers of the evaluations, from 0, at which training stops and at which it was best."""
    best = None
    for number, value in enumerate(values):
        if not math.isnan(value or 0.0) and value is not None and (best is None or value < values[best]):
            best = number
        if number - (-1 if best is None else best) >= patience:
            return number, best
    return None, best


@pytest.mark.parametrize(("metric", "sign"), [("validation_loss", 1), ("validation_accuracy", -1)])
@given(
    values=st.lists(st.integers(0, 5) | st.sampled_from((None, math.nan)), min_size=1, max_size=7),
    patience=st.integers(1, 4),
    every=st.integers(1, 3),
    short=st.integers(0, 2),
)
def test_patience_counts_evaluations(metric, sign, values, patience, every, short):
    """Losses are to fall, accuracies to grow; epochs without an evaluation are passed over; the last has one."""
    epochs = max(every * len(values) - min(short, every - 1), 1)
    told = Told(metric, [value and sign * value for value in values])
    trainer = small.make_trainer(
        evaluate_every=every, callbacks=[told, EarlyStopping(patience, metric, restore_best=True)]
    )
    data = small.separable(0, images=6)
    trainer.fit(data, data, epochs=epochs)
    stop, best = stop_by_hand(values, patience)
    at = [min(every * (number + 1), epochs) for number in range(len(values))]
    assert trainer.epoch == (epochs if stop is None else at[stop])
    assert (trainer.stop_reason is None) == (stop is None)
    last = at[-1 if stop is None else stop]
    np.testing.assert_array_equal(trainer.model.parameters.flat, told.weights[last if best is None else at[best]])


def test_early_stopping_looks_at_the_history_before_it_trains_on():
    trainer = small.make_trainer(callbacks=[EarlyStopping(2)])
    trainer.history.extend({"epoch": epoch, "validation_loss": loss} for epoch, loss in enumerate((1.0, 2.0, 3.0), 1))
    trainer.epoch = 3
    data = small.separable(0)
    trainer.fit(data, data, until=9)
    assert (trainer.step, trainer.interrupted) == (0, False)
    assert trainer.stop_reason == "validation_loss has not improved for 2 epochs"


class Note(Callback):
    """Keeps the weights of each epoch."""

    def __init__(self):
        self.weights = []

    def epoch_end(self, trainer, row):
        self.weights.append((trainer.model.parameters.flat.copy(), trainer.model.buffers.flat.copy()))


@pytest.mark.parametrize("average", [None, 0.6])
@pytest.mark.parametrize("patience", [2, 99])
def test_the_best_weights_come_back_at_the_end(patience, average):
    """Whether it was stopped early or not; with an average it is the average that was judged."""
    note = Note()
    trainer = small.make_trainer(average=average, callbacks=[note, EarlyStopping(patience, restore_best=True)])
    x, labels = small.separable(0)
    held_out = small.separable(1)[0], np.roll(labels, 1)
    losses = trainer.fit((x, labels), held_out, epochs=7, batch_size=7).column("validation_loss")
    best = losses.index(min(losses))
    assert best < len(losses) - 1
    np.testing.assert_array_equal(trainer.model.parameters.flat, note.weights[best][0])
    np.testing.assert_array_equal(trainer.model.buffers.flat, note.weights[best][1])
    assert trainer.evaluate(held_out).loss == pytest.approx(min(losses), rel=1e-12)


def test_nothing_comes_back_while_training_is_to_be_resumed():
    x, labels = small.separable(0)
    held_out = x, np.roll(labels, 1)
    trainer, plain = (
        small.make_trainer(callbacks=[*stopping, StopAt(25)])
        for stopping in ([EarlyStopping(9, restore_best=True)], [])
    )
    for each in (trainer, plain):
        each.fit((x, labels), held_out, epochs=9, batch_size=7)
        assert each.interrupted
    np.testing.assert_array_equal(trainer.model.parameters.flat, plain.model.parameters.flat)


def test_best_weights_that_are_not_in_memory_are_named(caplog):
    trainer = small.make_trainer(callbacks=[EarlyStopping(9, restore_best=True)])
    data = small.separable(0)
    trainer.fit(data, data, epochs=1)
    trainer.history[0].update(validation_loss=0.0, train_loss=9.0)
    trainer.fit(data, data, until=2)
    assert "the weights of epoch 1, the best by validation_loss, are not in memory: the last ones stay" in caplog.text


def test_early_stopping_does_not_hold_earlier_calls_against_a_new_one():
    trainer = small.make_trainer(callbacks=[EarlyStopping(1)])
    trainer.history.extend({"epoch": epoch, "validation_loss": loss} for epoch, loss in enumerate((1e-9, 2.0), 1))
    trainer.epoch = 2
    data = small.separable(0)
    trainer.fit(data, data, epochs=2)
    assert (trainer.epoch, trainer.stop_reason) == (4, None)


def test_early_stopping_passes_over_epochs_without_validation():
    trainer = small.make_trainer(callbacks=[])
    data = small.separable(0)
    trainer.fit(data, epochs=2)
    trainer.callbacks.append(EarlyStopping(1))
    trainer.fit(data, data, until=3)
    assert (trainer.epoch, trainer.stop_reason) == (3, None)


def test_early_stopping_without_patience_is_refused():
    with pytest.raises(ValueError, match="patience must be an integer of at least 1, not 0"):
        EarlyStopping(0)


@pytest.mark.parametrize("every", [1, 2, 9])
def test_early_stopping_names_a_metric_that_is_not_there(every):
    """After the first epoch that ends with an evaluation, or would."""
    trainer = small.make_trainer(evaluate_every=every, callbacks=[EarlyStopping(1)])
    with pytest.raises(ValueError, match="watches 'validation_loss'; the history has epoch, train_loss"):
        trainer.fit(small.make_batches(trainer), epochs=3)
    assert trainer.epoch == min(every, 3)
