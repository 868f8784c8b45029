"""Folders of few pictures, which the defaults must be good for."""

import numpy as np
import pytest
from PIL import Image

from xnn.runs import Settings
from xnn.runs.assembly import prepare
from xnn.runs.trainer import FEW_STEPS, make_trainer
from xnn.training.renewing import RenewStatistics

CLASSES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def plain_colours(tmp_path_factory):
    """96 pictures of 16 x 16 pixels, each with much of one of three colours."""
    root, random = tmp_path_factory.mktemp("plain colours"), np.random.default_rng(0)
    for channel, name in enumerate(CLASSES):
        (root / name).mkdir()
        for index in range(32):
            pixels = random.integers(0, 80, (16, 16, 3))
            pixels[..., channel] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{index}.png")
    return root


def outcome(root, **settings):
    job = prepare(Settings(dataset=str(root), backend="numpy", **settings))
    trainer = make_trainer(job, [])
    trainer.fit(job.train, job.held_out, until=job.settings.epochs)
    return trainer.evaluate(job.test), trainer


def test_the_defaults_tell_plain_colours_apart(plain_colours):
    metrics, trainer = outcome(plain_colours, hidden=16)
    assert metrics.accuracy == 1.0
    assert metrics.loss < 0.01
    assert trainer.step >= 600


@pytest.mark.parametrize("model", ["cnn", "mlp", "speed"])
def test_so_does_training_that_is_cut_short(plain_colours, model):
    metrics, trainer = outcome(plain_colours, model=model, epochs=2)
    assert trainer.step < FEW_STEPS
    # Guessing has a loss of 1.1.
    assert metrics.accuracy == 1.0
    assert metrics.loss < 1.1
    assert max(row["test_loss"] for row in trainer.history if row.get("test_loss") is not None) < 2.0


@pytest.mark.parametrize(("epochs", "renewed"), [(2, True), (3, False)])
def test_statistics_are_renewed_only_in_runs_of_few_steps(monkeypatch, epochs, renewed):
    job = prepare(Settings(epochs=epochs, hidden=2, backend="numpy"))
    monkeypatch.setattr("xnn.runs.trainer.FEW_STEPS", 3 * len(job.train))
    trainer = make_trainer(job, [])
    assert any(isinstance(callback, RenewStatistics) for callback in trainer.callbacks) == renewed
