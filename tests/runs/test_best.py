"""--keep-best: the model is that of the epoch with the lowest validation loss, and so are the tests."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.runs.rows import quick
from tests.training.small import StopAt
from xnn.runs import checkpoints
from xnn.runs.assembly import prepare
from xnn.runs.run import resume, train
from xnn.runs.trainer import make_trainer
from xnn.training import Callback

pytestmark = pytest.mark.usefixtures("undrawn")

EPOCHS = 5


class Worsen(Callback):
    """Trains with far too large steps from the third epoch on."""

    def epoch_begin(self, trainer):
        if trainer.epoch >= 2:
            trainer.schedule = lambda step: 2.0


def settings(path, **changes):
    chosen = {"validation": 200, "epochs": EPOCHS, "keep": 1, "keep_best": True, "average": 0.5, "clip_norm": 1.0}
    return quick(path, **(chosen | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(settings(tmp_path_factory.mktemp("runs") / "whole"), callbacks=[Worsen()])


def best_of(result):
    losses = result.history.column("validation_loss")
    return losses.index(min(losses)) + 1


def names(result):
    return sorted(path.name for path in (result.directory / "checkpoints").iterdir())


def test_the_model_and_the_test_are_of_the_best_epoch(whole):
    best = best_of(whole)
    assert best < EPOCHS
    assert (whole.values["epochs"], whole.values["best_epoch"]) == (EPOCHS, best)
    assert names(whole) == [checkpoints.of_epoch(best), checkpoints.of_epoch(EPOCHS)]
    job = prepare(settings(whole.directory))
    job.model.load_state_dict(load_file(whole.directory / "model.safetensors"))
    plain = make_trainer(job, [])
    plain.average = None
    assert plain.evaluate(job.held_out).loss == pytest.approx(min(whole.history.column("validation_loss")), rel=1e-5)
    assert plain.evaluate(job.test).accuracy == pytest.approx(whole.values["test_accuracy"])


def test_the_best_is_one_of_the_epochs_that_were_evaluated(tmp_path):
    """And patience counts those."""
    chosen = {"evaluate_every": 2, "early_stopping": 1, "epochs": 9}
    result = train(settings(tmp_path / "run", **chosen), callbacks=[Worsen()])
    assert [loss is not None for loss in result.history.column("validation_loss")] == [False, True, False, True]
    assert (result.values["epochs"], result.values["best_epoch"]) == (4, 2)
    assert names(result) == [checkpoints.of_epoch(2), checkpoints.of_epoch(4)]


@pytest.mark.parametrize("step", [10, 50, 90])
def test_a_run_that_was_stopped_ends_with_the_same_best(whole, tmp_path, step):
    first = train(settings(tmp_path / "run"), callbacks=[Worsen(), StopAt(step)])
    second = resume(first.directory, callbacks=[Worsen()])
    assert names(second) == names(whole)
    ours, theirs = (load_file(result.directory / "model.safetensors") for result in (second, whole))
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array)
    again = resume(first.directory)
    assert again.was_complete
    np.testing.assert_array_equal(again.model.parameters.flat, second.model.parameters.flat)


def test_a_best_checkpoint_that_is_gone_is_named_and_the_last_taken(tmp_path):
    class Lose(Callback):
        def fit_end(self, trainer):
            losses = trainer.history.column("validation_loss")
            (tmp_path / "run" / "checkpoints" / checkpoints.of_epoch(losses.index(min(losses)) + 1)).unlink()

    said = []
    result = train(settings(tmp_path / "run"), callbacks=[Worsen(), Lose()], warn=said.append)
    (line,) = said
    assert "checkpoints" in line
    assert line.endswith("the model is that of the last epoch instead of the best")
    assert result.values["best_epoch"] == EPOCHS


def test_without_it_nothing_is_chosen(tmp_path):
    result = train(settings(tmp_path / "run", keep_best=False), callbacks=[Worsen()])
    assert "best_epoch" not in result.values
    assert names(result) == [checkpoints.of_epoch(EPOCHS)]
    with safe_open(result.directory / "model.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["xnn"])["settings"]["keep_best"] is False
