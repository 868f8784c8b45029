"""From settings to what trains."""

import dataclasses

import numpy as np
import pytest

from xnn import data
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


@pytest.mark.parametrize(
    ("options", "flag"), [({"early_stopping": 3}, "--early-stopping 3"), ({"keep_best": True}, "--keep-best")]
)
def test_the_test_set_never_chooses(options, flag):
    with pytest.raises(SettingError, match=f"^{flag}: needs --validation, or the test set would choose"):
        prepare(Settings(backend="numpy", **options))


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


@pytest.mark.parametrize(
    ("names", "mix"),
    [
        (("none",), None),
        (("flip", "mixup"), data.MixUp(0.3)),
        (("cutmix", "shift"), data.CutMix(2.0)),
        (("cutmix", "mixup"), data.RandomChoice((data.MixUp(0.3), data.CutMix(2.0)))),
    ],
)
def test_what_mixes_batches_is_apart_from_what_changes_images(names, mix):
    alphas = {f"{name}_alpha": alpha for name, alpha in (("mixup", 0.3), ("cutmix", 2.0)) if name in names}
    job = prepare(Settings(model="mlp", hidden=2, augment=names, backend="numpy", **alphas))
    assert (job.train.mix, job.train.classes) == (mix, 10)
    assert (job.held_out.mix, job.test.mix) == (None, None)
    others = [name for name in names if name not in ("none", "mixup", "cutmix")]
    assert len(job.train.augment.augmentations if job.train.augment else ()) == len(others)


@pytest.mark.parametrize(("name", "others"), [("mixup", "cutmix"), ("cutmix", "flip")])
def test_an_alpha_of_what_is_not_done_is_refused(name, others):
    with pytest.raises(SettingError, match=f"^--{name}-alpha 0.5: needs {name} in --augment$"):
        prepare(Settings(model="mlp", augment=(others,), backend="numpy", **{f"{name}_alpha": 0.5}))


def test_settings_from_before_there_was_mixing_have_none():
    old = Settings(model="mlp", hidden=2).to_dict()
    del old["mixup_alpha"], old["cutmix_alpha"]
    assert prepare(Settings.from_dict(old)).train.mix is None
