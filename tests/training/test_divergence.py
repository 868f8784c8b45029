"""Losses that are no longer finite, and what is blamed for them."""

import re

import numpy as np
import pytest

from tests.training import small
from xnn import optim
from xnn.errors import NonFiniteLoss
from xnn.training import Trainer


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


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [(None, "1e+200"), (optim.schedules.OneCycle(1e210, 1000), "1e+210"), (lambda step: 1e220, "1e+220")],
)
def test_divergence_names_the_highest_learning_rate(schedule, rate):
    trainer = small.make_trainer(lr=1e200, schedule=schedule)
    with pytest.raises(NonFiniteLoss, match=re.escape(f"try a lower --lr than {rate}, ")):
        trainer.fit(small.make_batches(trainer), epochs=20)
