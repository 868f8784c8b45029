"""The range test leaves no trace, and finds where the loss is lowest."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from tests.training.small import StopAt
from xnn import nn, optim
from xnn.errors import NonFiniteLoss
from xnn.training import Trainer, find_lr
from xnn.training.rate_finder import smooth


@pytest.mark.parametrize("optimizer", ["momentum", "adamw", "rmsprop"])
def test_everything_is_as_it_was_afterwards(backend, optimizer):
    log = StopAt(20)
    trainer = small.make_trainer(backend, optimizer=optimizer, average=0.8, dropout=0.2, callbacks=[log], log_every=4)
    batches = small.make_batches(trainer)
    trainer.fit(batches, batches, epochs=9)
    rows, kept = list(log.rows), dict(vars(trainer))
    before = small.comparable(*trainer.state_dict())
    found = find_lr(trainer, batches, steps=30)
    assert small.comparable(*trainer.state_dict()) == before
    assert log.rows == rows
    # The state, compared above, is put back as new objects; everything else is the same object.
    changed = {name for name, value in vars(trainer).items() if value is not kept[name]}
    assert changed <= {"epoch_sums", "interval_sums", "clock", "epoch_clock", "history", "_meter", "last_lr"}
    assert vars(trainer).keys() == kept.keys()
    assert trainer.interrupted
    assert len(found.rates) == len(found.losses) == len(found.smoothed) >= 9


def test_rates_rise_by_one_factor():
    trainer = small.make_trainer()
    found = find_lr(trainer, small.separable(0), lowest=1e-9, highest=1e-3, steps=31)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-9, 1e-3, 31), rtol=1e-12)


def test_where_the_loss_is_lowest_is_known_for_a_parabola():
    """A step of rate r multiplies the error by 1 - r here: the best is close to where it becomes -1."""

    class Parabola:
        def forward(self, output, targets):
            return np.mean(output**2) / 2, lambda dloss=1.0: output / output.size

    model = nn.Sequential(nn.Linear(1, bias=False)).build((1,), backend="numpy", dtype="float64")
    model.parameters.flat[...] = 1.0
    trainer = Trainer(model, optim.SGD(model, 0.1), loss=Parabola())
    found = find_lr(trainer, (np.ones((1, 1)), np.zeros((1, 1))), lowest=1e-4, highest=1e4, steps=100)
    assert 0.05 < found.suggested < 0.4
    assert found.rates[-1] < 1e4


def test_no_rate_is_suggested_where_the_loss_does_not_fall():
    trainer = small.make_trainer()
    trainer.model.freeze()
    assert find_lr(trainer, small.separable(0), batch_size=48).suggested is None


def test_a_loss_that_becomes_nan_ends_the_test_and_is_undone():
    trainer = small.make_trainer()
    before = trainer.model.parameters.flat.copy()
    with np.errstate(all="ignore"):
        found = find_lr(trainer, small.separable(0), lowest=1e-3, highest=1e300)
    assert len(found.losses) < 100
    assert all(map(math.isfinite, found.losses))
    np.testing.assert_array_equal(trainer.model.parameters.flat, before)


def test_data_that_is_not_finite_is_an_error_all_the_same():
    x, labels = small.separable(0)
    trainer = small.make_trainer()
    with pytest.raises(NonFiniteLoss, match="the training data holds NaN"):
        find_lr(trainer, (x * np.nan, labels))
    assert trainer.step == 0


@given(losses=st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_smoothing_keeps_the_ends_and_lies_between(losses):
    found = smooth(losses)
    assert (found[0], found[-1]) == (losses[0], losses[-1])
    assert all(min(losses) * (1 - 1e-9) <= value <= max(losses) * (1 + 1e-9) for value in found)
    for place in range(4, len(losses) - 4):
        assert found[place] == pytest.approx(np.mean(losses[place - 4 : place + 5]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowest": 0.0}, "lowest must be a finite number above 0"),
        ({"highest": 1e-6}, "highest must be above lowest=1e-06, not 1e-06"),
        ({"steps": 19}, "steps must be an integer of at least 20, not 19"),
    ],
)
def test_ranges_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        find_lr(small.make_trainer(), small.separable(0), **options)
