from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.optim.table import OPTIMIZERS
from tests.training.small import StopAt
from xnn import nn
from xnn.backends import backend as make_backend
from xnn.training import Callback, Trainer
from xnn.training.freezing import FadeOut
from xnn.training.loaders import ArrayBatches

NAME = "0.weight"


def make_trainer(optimizer, callbacks=(), schedule=None):
    """A model of one parameter, so that no other one reacts to what becomes of it."""
    model = nn.Sequential(nn.Linear(3, bias=False)).build((4,), backend=make_backend("numpy"), dtype="float64")
    return Trainer(
        model, OPTIMIZERS[optimizer](model, 0.3, weight_decay=0.1), callbacks=list(callbacks), schedule=schedule
    )


def batches(trainer, seed):
    random = np.random.default_rng(seed)
    x, labels = random.normal(size=(15, 4)), random.integers(0, 3, 15)
    return ArrayBatches(x, labels, 4, backend=trainer.model.backend, dtype="float64", shuffle=True, seed=seed)


@pytest.mark.parametrize("name", OPTIMIZERS)
@settings(max_examples=8)
@given(epochs=st.integers(1, 3), more=st.integers(0, 2), seed=st.integers(0, 2**32 - 1))
def test_fading_out_is_a_learning_rate_that_falls_to_zero(name, epochs, more, seed):
    fading = make_trainer(name, [FadeOut(NAME, epochs)])
    steps = 4 * epochs
    falling = make_trainer(name, schedule=lambda step: 0.3 * max(1 - step / steps, 0.0))
    first = fading.model.parameters[NAME].copy()
    for trainer in (fading, falling):
        trainer.fit(batches(trainer, seed), epochs=epochs + more)
    found, expected = fading.model.parameters[NAME], falling.model.parameters[NAME]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert np.abs(found - first).max() > 0
    assert fading.model.layers[0].weight.trainable == (more == 0)


@settings(max_examples=8)
@given(stop=st.integers(1, 11), seed=st.integers(0, 2**32 - 1))
def test_a_stopped_run_goes_on_bit_for_bit(stop, seed):
    def run(callbacks, state=None):
        trainer = make_trainer("nesterov", [FadeOut(NAME, 2), *callbacks])
        if state is not None:
            trainer.load_state_dict(*state)
        trainer.fit(batches(trainer, seed), until=3)
        return trainer

    whole, resumed = run([]), run([], run([StopAt(stop)]).state_dict())
    np.testing.assert_array_equal(resumed.model.parameters[NAME], whole.model.parameters[NAME])


def test_before_the_last_step_of_the_fade_it_still_moves_and_then_never():
    values = []

    class Watch(Callback):
        def step_end(self, trainer):
            values.append(trainer.model.parameters[NAME].copy())

    trainer = make_trainer("nesterov", [FadeOut(NAME, 2), Watch()])
    trainer.fit(batches(trainer, 0), epochs=4)
    moved = [bool((after != before).any()) for before, after in pairwise(values)]
    assert moved == [True] * 7 + [False] * 8
