"""The recipe of the speed records, on few images and narrow: its first layer, its windows, its views, and going on."""

from itertools import pairwise

import numpy as np
import pytest

from tests.training.small import StopAt
from xnn import nn
from xnn.data import Split
from xnn.runs import Settings
from xnn.runs.assembly import prepare
from xnn.runs.trainer import make_trainer
from xnn.training.callbacks import Callback
from xnn.training.view_averaging import predictor


def few_images(**changes):
    job = prepare(Settings(recipe="speed", backend="numpy", hidden=4, batch_size=40, epochs=4, seed=3, **changes))
    split = job.train.split
    job.train.split = Split(split.images[:120], split.labels[:120])
    job.train.images = 120
    return job


def test_the_first_layer_whitens_the_training_images():
    job = few_images()
    first = job.model.layers[0]
    x = job.normalization(job.train.split.images)
    outputs, _ = nn.Conv2d.forward(first, x)
    square = np.mean(np.asarray(outputs - first.bias.value, np.float64)[..., :4] ** 2, axis=(0, 1, 2))
    np.testing.assert_allclose(square, 1.0, rtol=0.2)
    assert not first.weight.trainable
    np.testing.assert_array_equal(first.weight.value, prepare(job.settings).model.layers[0].weight.value)


def test_what_whitening_adds_to_the_variances_is_a_setting():
    # A filter has the norm 1 / √(variance + eps).
    variances = {
        eps: 1.0 / np.sum(few_images(whitening_eps=eps).model.parameters["0.weight"] ** 2, axis=(0, 1, 2)) - eps
        for eps in (0.01, 0.3)
    }
    np.testing.assert_allclose(variances[0.01], variances[0.3], atol=1e-4)


@pytest.mark.parametrize("stop", range(1, 12, 2))
def test_a_run_goes_on_bit_for_bit(stop):
    def trainer_until(last, start=None):
        job = few_images(augment=("alternating-flip", "shift"), average=0.9, window=6, window_share=0.5)
        trainer = make_trainer(job, [StopAt(last)])
        if start is not None:
            trainer.load_state_dict(*start)
        trainer.fit(job.train, until=4)
        return trainer

    whole = trainer_until(None)
    stopped = trainer_until(stop)
    assert stopped.step == stop
    resumed = trainer_until(None, stopped.state_dict())
    assert resumed.step == whole.step == 12
    arrays, expected = resumed.state_dict()[0], whole.state_dict()[0]
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


@pytest.mark.parametrize(("share", "small"), [(0.0, 0), (0.2, 0), (0.5, 2), (0.7, 2), (0.99, 3)])
def test_the_first_epochs_see_windows(share, small):
    job = few_images(window=6, window_share=share)
    sides = [{x.shape[1] for x, _ in job.train.epoch(epoch)} for epoch in range(4)]
    assert sides == [{6}] * small + [{8}] * (4 - small)


def test_the_first_bias_is_trained_for_three_epochs():
    job, seen = few_images(), []

    class Watch(Callback):
        def epoch_end(self, trainer, row):
            seen.append(job.model.parameters["0.bias"].copy())

    weight = job.model.parameters["0.weight"].copy()
    make_trainer(job, [Watch()]).fit(job.train, epochs=4)
    moved = [bool((after != before).any()) for before, after in pairwise([0.0 * seen[0], *seen])]
    assert moved == [True, True, True, False]
    np.testing.assert_array_equal(job.model.parameters["0.weight"], weight)


def test_views_are_averaged_at_the_end_and_epochs_see_one():
    job = few_images(test_views=6)
    trainer = make_trainer(job, [])
    history = trainer.fit(job.train, job.held_out, epochs=1)
    plain = make_trainer(few_images(test_views=1), [])
    assert plain.fit(job.train, job.held_out, epochs=1)[-1]["test_loss"] == history[-1]["test_loss"]
    assert plain.evaluate(job.test).loss == history[-1]["test_loss"]

    x, labels = next(job.test.epoch(0))
    loss, _ = trainer.loss.forward(predictor(job.model, 6)(x), labels)
    assert trainer.evaluate((x, labels)).loss == pytest.approx(float(loss), rel=1e-6)
    assert trainer.evaluate(job.test).loss != history[-1]["test_loss"]
