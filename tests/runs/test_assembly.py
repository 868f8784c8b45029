"""From settings to what trains."""

import numpy as np
import pytest

from xnn.errors import SettingError
from xnn.optim.tables import OPTIMIZERS
from xnn.runs import Settings
from xnn.runs.assembly import make_trainer, prepare


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


def test_early_stopping_needs_images_to_validate_on():
    with pytest.raises(SettingError, match=r"^--early-stopping 3: needs --validation, or the test set would choose"):
        prepare(Settings(early_stopping=3, backend="numpy"))


@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_a_constant_rate_stays_what_it_is_after_the_warm_up(warmup):
    job = prepare(Settings(model="lab6", hidden=2, warmup=warmup, epochs=2, batch_size=100, backend="numpy"))
    schedule = make_trainer(job, []).schedule
    rates = {schedule(step) for step in range(2 * len(job.train))}
    assert max(rates) == job.settings.lr
    assert len(rates) == 1 + round(warmup * len(job.train)) - (warmup > 0)
