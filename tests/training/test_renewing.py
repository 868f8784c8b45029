"""Statistics that are taken anew at the end of each epoch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training import small
from tests.training.small import StopAt, comparable
from xnn import nn
from xnn.training.renewing import BATCHES, RenewStatistics

AVERAGES = st.sampled_from([None, 0.5])


def trained(average, seed, epochs=3, stop=None, state=None, renewing=True, batch_size=9):
    """Train on 48 examples, six batches an epoch, with dropout."""
    trainer = small.make_trainer(seed=seed, dropout=0.2, average=average)
    batches = small.make_batches(trainer, seed, batch_size)
    trainer.callbacks += [*([RenewStatistics(batches)] if renewing else []), StopAt(stop)]
    if state is not None:
        trainer.load_state_dict(*state)
    trainer.fit(batches, batches, until=epochs)
    return trainer


@settings(max_examples=15)
@given(average=AVERAGES, seed=st.integers(0, 2**31), stop=st.integers(1, 17))
def test_a_stopped_run_goes_on_bit_for_bit(average, seed, stop):
    whole = trained(average, seed)
    resumed = trained(average, seed, state=trained(average, seed, stop=stop).state_dict())
    assert comparable(*resumed.state_dict()) == comparable(*whole.state_dict())


@settings(max_examples=10)
@given(average=AVERAGES, seed=st.integers(0, 2**31))
def test_the_weights_are_those_of_training_without_it(average, seed):
    plain, renewed = trained(average, seed, renewing=False), trained(average, seed)
    np.testing.assert_array_equal(renewed.model.parameters.flat, plain.model.parameters.flat)
    if average is not None:
        np.testing.assert_array_equal(renewed.average.average.parameters, plain.average.average.parameters)


@settings(max_examples=10)
@given(average=AVERAGES, seed=st.integers(0, 2**31))
def test_the_statistics_are_those_of_the_weights_and_of_their_average(average, seed):
    trainer = trained(average, seed)
    model, batches = trainer.model, small.make_batches(trainer, seed, 9)
    found = model.buffers.flat.copy()
    nn.renew_statistics(model, [x for x, _ in batches.epoch(2)])
    np.testing.assert_array_equal(found, model.buffers.flat)
    if average is not None:
        with trainer.average.applied():
            found = model.buffers.flat.copy()
            nn.renew_statistics(model, [x for x, _ in batches.epoch(2)])
            np.testing.assert_array_equal(found, model.buffers.flat)


def test_the_images_are_those_of_the_epoch():
    """Whatever is done to images in other epochs, such as cutting windows out of them."""
    trainer, epochs = small.make_trainer(), []
    batches = small.make_batches(trainer)

    class Noted:
        def epoch(self, epoch):
            epochs.append(epoch)
            return batches.epoch(epoch)

    trainer.callbacks.append(RenewStatistics(Noted()))
    trainer.fit(batches, epochs=3)
    assert epochs == [0, 1, 2]


def test_only_some_batches_are_looked_at():
    trainer = small.make_trainer()
    batches = small.make_batches(trainer, batch_size=2)
    asked = []
    watched = small.Watched(batches, asked.append)
    trainer.callbacks.append(RenewStatistics(watched))
    trainer.fit(batches, epochs=1)
    assert len(batches) > BATCHES
    assert asked == list(range(1, BATCHES + 1))


@pytest.mark.parametrize("renewing", [False, True])
def test_after_three_steps_only_renewed_statistics_are_of_use(renewing):
    trainer = trained(None, 0, epochs=1, renewing=renewing, batch_size=16)
    x, _ = small.separable(0)
    normalized = trainer.model.layers[1](trainer.model.layers[0](x))
    deviation = np.abs(normalized.std(axis=0) - 1.0).max()
    assert (deviation < 0.2) == renewing
