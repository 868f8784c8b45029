"""From settings to the trainer."""

import dataclasses

import numpy as np
import pytest

from xnn.optim.tables import OPTIMIZERS
from xnn.runs import Settings
from xnn.runs.assembly import prepare
from xnn.runs.trainer import make_trainer


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_l2_penalty_is_a_penalty_and_weight_decay_the_optimizers(optimizer):
    settings = Settings(model="mlp", optimizer=optimizer, l2=0.25, weight_decay=0.125, hidden=2, backend="numpy")
    trainer = make_trainer(prepare(settings), [])
    first, *_ = getattr(trainer.optimizer, "optimizers", [trainer.optimizer])
    assert (trainer.penalty.strength, first.weight_decay) == (0.25, 0.125)


def test_to_plain_gradient_descent_weight_decay_is_the_labs_penalty():
    def weights(**settings):
        job = prepare(Settings(model="lab6", hidden=4, batch_size=100, epochs=1, lr=0.5, backend="numpy", **settings))
        make_trainer(job, []).fit(job.train, epochs=1)
        return job.model.parameters.flat

    decayed, penalized, neither = weights(), weights(weight_decay=0.0, l2=1e-3), weights(weight_decay=0.0)
    np.testing.assert_allclose(decayed, penalized, rtol=1e-3, atol=1e-5)
    assert np.abs(decayed - neither).max() > 1e-3


@pytest.mark.parametrize(("optimizer", "peak"), [("sgd", 0.5), ("muon", 0.125)])
def test_the_schedule_keeps_the_body_slower_than_the_head(optimizer, peak):
    given = {"model": "mlp", "optimizer": optimizer, "lr": 0.5, "body_lr": 0.25, "schedule": "cosine", "hidden": 2}
    trainer = make_trainer(prepare(Settings(backend="numpy", **given)), [])
    assert trainer.schedule(0) == peak
    before = [each.lr for each in trainer.optimizer.optimizers]
    trainer.optimizer.lr = trainer.schedule(trainer.schedule.total_steps // 2)
    after = [each.lr for each in trainer.optimizer.optimizers]
    assert after[0] < before[0]
    np.testing.assert_allclose(np.divide(after, before), after[0] / before[0])


@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_a_constant_rate_stays_what_it_is_after_the_warm_up(warmup):
    job = prepare(Settings(model="lab6", hidden=2, warmup=warmup, epochs=2, batch_size=100, backend="numpy"))
    schedule = make_trainer(job, []).schedule
    rates = {schedule(step) for step in range(2 * len(job.train))}
    assert max(rates) == job.settings.lr
    assert len(rates) == 1 + round(warmup * len(job.train)) - (warmup > 0)


def test_balanced_weights_are_of_the_training_part_and_only_training_is_weighted():
    settings = Settings(model="mlp", hidden=2, validation=0.5, class_weights="balanced", backend="numpy")
    job = prepare(settings)
    trainer = make_trainer(job, [])
    counts = np.bincount(job.train.split.labels, minlength=10)
    np.testing.assert_allclose(trainer.loss.class_weight, len(job.train.split) / (10 * counts))
    assert trainer.held_out_loss.class_weight is None
    plain = make_trainer(prepare(dataclasses.replace(settings, class_weights=None)), [])
    assert plain.loss.class_weight is None
