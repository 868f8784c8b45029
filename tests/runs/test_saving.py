"""When the callback saves, what it adds, and what it never saves."""

import json

import numpy as np
import pytest

from tests.training import small
from xnn.errors import NonFiniteLoss
from xnn.runs import Checkpoint, checkpoints
from xnn.training import Callback


def test_the_callback_keeps_facts_about_the_data(tmp_path):
    trainer = small.make_trainer(callbacks=[Checkpoint(tmp_path, data={"images": 48})])
    trainer.fit(small.make_batches(trainer), epochs=1)
    saved, _ = checkpoints.newest_valid(tmp_path)
    assert saved.info["data"] == {"images": 48}
    small.make_trainer().load_state_dict(saved.arrays, saved.info)


def test_the_callback_saves_each_epoch_and_keeps_few(tmp_path):
    trainer = small.make_trainer(callbacks=[Checkpoint(tmp_path, keep=2)])
    trainer.fit(small.make_batches(trainer), epochs=4)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["epoch-00003", "epoch-00004"]
    saved, _ = checkpoints.newest_valid(tmp_path)
    assert saved.info["epoch"] == 4
    assert json.loads(json.dumps(saved.info)) == saved.info
    with pytest.raises(ValueError, match="keep must be an integer of at least 1"):
        Checkpoint(tmp_path, keep=0)


class Losses(Callback):
    """Gives the epochs the validation losses that a test wants."""

    def __init__(self, losses):
        self.losses = losses

    def epoch_end(self, trainer, row):
        row["validation_loss"] = self.losses[row["epoch"] - 1]


@pytest.mark.parametrize(
    ("losses", "kept"),
    [([3.0, 1.0, 2.0, 2.5], [2, 4]), ([3.0, 2.0, 2.0, 1.0], [4]), ([1.0, 1.0, None, 2.0], [1, 4]), ([None] * 4, [4])],
)
def test_the_best_epoch_is_kept_besides_the_newest(tmp_path, losses, kept):
    trainer = small.make_trainer(callbacks=[Losses(losses), Checkpoint(tmp_path, keep=1, best="validation_loss")])
    trainer.fit(small.make_batches(trainer), epochs=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [checkpoints.of_epoch(epoch) for epoch in kept]


@pytest.mark.parametrize(
    ("every", "steps"),
    [("0", [7, 14]), ("3", [3, 6, 7, 9, 12, 14]), ("20s", [2, 4, 6, 7, 9, 11, 13, 14]), ("1h", [7, 14])],
)
def test_the_callback_saves_inside_an_epoch_as_often_as_asked(tmp_path, monkeypatch, every, steps):
    """7 steps an epoch, of 10 seconds each; a checkpoint after an epoch puts the next one off."""
    saved = []

    class Clock(Callback):
        seconds = 1000.0

        def step_end(self, trainer):
            Clock.seconds += 10.0

    class Noted(Checkpoint):
        def save(self, trainer):
            saved.append(trainer.step)
            return super().save(trainer)

    monkeypatch.setattr("xnn.runs.saving.monotonic", lambda: Clock.seconds)
    trainer = small.make_trainer(callbacks=[Clock(), Noted(tmp_path, every=every)])
    trainer.fit(small.make_batches(trainer), epochs=2)
    assert saved == steps


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    trainer = small.make_trainer(callbacks=[Checkpoint(tmp_path)])
    trainer.model.parameters.flat[3] = np.nan
    with pytest.raises(NonFiniteLoss, match="a weight became NaN"):
        trainer.callbacks[0].save(trainer)
    assert list(tmp_path.iterdir()) == []
