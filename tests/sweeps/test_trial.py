"""One trial: it goes on after a stop, never sees the test set, and its end is what the study is told."""

import json

import pytest

import xnn
from xnn.errors import RunError
from xnn.sweeps import Pruning, outcome, picture
from xnn.sweeps.sweep import Definition, Sweep
from xnn.sweeps.trial import run_trial
from xnn.training.callbacks import Callback

optuna = pytest.importorskip("optuna", reason="a sweep needs optuna")

from optuna.trial import TrialState  # noqa: E402 - only where it is installed

pytestmark = pytest.mark.usefixtures("undrawn")

FIXED = {"model": "mlp", "hidden": 4, "validation": 0.2, "epochs": 3, "batch_size": 200, "backend": "numpy"}


def opened(folder, space=None, **fixed):
    definition = Definition(FIXED | fixed, space or {"lr": "log:0.001..0.01"})
    return Sweep.opened(folder, folder / "study.journal", definition)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class StopAfter(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def epoch_end(self, trainer, row):
        if row["epoch"] == self.epoch:
            trainer.request_stop("SIGTERM", to_resume=True)


class PrunedAfter(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.last_step == 2


def test_a_trial_is_judged_on_validation_images_and_the_winner_meets_the_test_set_once(tmp_path):
    with opened(tmp_path) as sweep:
        for _ in range(2):
            with sweep.claimed(2) as claim:
                assert run_trial(sweep, claim, {}).over
        for trial in sweep.trials():
            rows = rows_of(sweep.place(trial.number))
            assert not any(name.startswith("test") and value is not None for row in rows for name, value in row.items())
            assert not (sweep.place(trial.number) / "result.json").exists()
            assert trial.value == rows[-1]["validation_accuracy"]
            assert trial.intermediate_values == {row["epoch"]: row["validation_accuracy"] for row in rows}
        result = outcome.finish_winner(sweep, {}, pytest.fail)
        best = sweep.place(sweep.winner().number)
        written = {path: path.stat().st_mtime_ns for path in best.iterdir() if path.is_file()}
        assert outcome.finish_winner(sweep, {}, pytest.fail) == result
        assert written == {path: path.stat().st_mtime_ns for path in best.iterdir() if path.is_file()}
        tested = [path.parent for path in tmp_path.glob("trial-*/result.json")]
        assert tested == [best]
        noted = json.loads((tmp_path / "winner.json").read_text())
        assert noted["test_accuracy"] == json.loads((best / "result.json").read_text())["test_accuracy"]
        assert outcome.settings_of(sweep, sweep.winner()).validation == 0
        outcome.write_csv(sweep)
        assert len((tmp_path / "trials.csv").read_text().splitlines()) == 3
        picture.write(sweep, pytest.fail)
        assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_trial_that_was_stopped_goes_on_where_it_was(tmp_path):
    with opened(tmp_path / "stopped") as sweep, sweep.claimed(1) as claim:
        assert not run_trial(sweep, claim, {}, [StopAfter(2)]).over
        assert sweep.trial(0).state == TrialState.RUNNING
    with opened(tmp_path / "stopped") as sweep, sweep.claimed(1) as claim:
        assert claim.told == {1, 2}
        assert run_trial(sweep, claim, {}).over
        stopped = sweep.trial(0), rows_of(sweep.place(0))
    with opened(tmp_path / "whole") as sweep, sweep.claimed(1) as claim:
        run_trial(sweep, claim, {})
        whole = sweep.trial(0), rows_of(sweep.place(0))
    assert stopped[0].params == whole[0].params
    assert stopped[0].value == whole[0].value
    assert stopped[0].intermediate_values == whole[0].intermediate_values
    assert [row["train_loss"] for row in stopped[1]] == [row["train_loss"] for row in whole[1]]


def test_a_kill_between_training_and_the_study_loses_nothing(tmp_path, monkeypatch):
    """The study is told what it missed when the trial goes on."""
    with opened(tmp_path) as sweep, sweep.claimed(1) as claim:
        monkeypatch.setattr(sweep, "live", lambda claim: Deaf())
        monkeypatch.setattr(sweep, "tell", lambda *told, **notes: None)
        run_trial(sweep, claim, {})
        written = (sweep.place(0) / "metrics.jsonl").read_bytes()
    with opened(tmp_path) as sweep, sweep.claimed(1) as claim:
        assert not claim.told
        assert run_trial(sweep, claim, {}).over
        assert set(sweep.trial(0).intermediate_values) == {1, 2, 3}
        assert (sweep.place(0) / "metrics.jsonl").read_bytes() == written


class Deaf:
    def report(self, value, step):
        pass

    def should_prune(self):
        return False


def test_a_trial_is_pruned_by_the_studys_pruner_unless_it_is_not_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(optuna.pruners, "MedianPruner", lambda **options: PrunedAfter())
    with opened(tmp_path) as sweep:
        for prune in (True, False):
            with sweep.claimed(2) as claim:
                run_trial(sweep, claim, {}, prune=prune)
        states = [trial.state for trial in sweep.trials()]
        assert states == [TrialState.PRUNED, TrialState.COMPLETE]
        assert [len(rows_of(sweep.place(number))) for number in range(2)] == [2, 3]
        assert sweep.trial(0).user_attrs["why"] == "pruned after epoch 2"


def test_a_trial_that_diverges_or_cannot_be_is_over_and_says_why(tmp_path):
    with opened(tmp_path / "far", {"lr": "1e30,1e35"}, optimizer="sgd") as sweep, sweep.claimed(1) as claim:
        assert run_trial(sweep, claim, {}).over
        assert sweep.trial(0).state == TrialState.PRUNED
        assert "diverged" in sweep.trial(0).user_attrs["why"]
    with opened(tmp_path / "odd", {"warmup": "3..9"}) as sweep, sweep.claimed(1) as claim:
        assert "--warmup" in run_trial(sweep, claim, {}).told
        assert sweep.trial(0).state == TrialState.FAIL
        assert sweep.winner() is None
        outcome.write_csv(sweep)
        assert "expected fewer epochs" in (tmp_path / "odd" / "trials.csv").read_text()


def test_what_concerns_all_trials_leaves_this_one_to_go_on(tmp_path):
    with opened(tmp_path) as sweep, sweep.claimed(1) as claim:
        sweep.place(0).mkdir()
        (sweep.place(0) / "mine").write_text("")
        with pytest.raises(RunError, match="not empty"):
            run_trial(sweep, claim, {})
        assert sweep.trial(0).state == TrialState.RUNNING


def test_with_keep_best_the_score_is_that_of_the_weights_that_are_kept(tmp_path):
    rough = {"optimizer": "sgd", "schedule": "constant", "epochs": 5}
    with opened(tmp_path, {"lr": "1.99..2.01"}, keep_best=True, **rough) as sweep, sweep.claimed(1) as claim:
        run_trial(sweep, claim, {})
        rows = rows_of(sweep.place(0))
        best = min(rows, key=lambda row: row["validation_loss"])
        assert best != rows[-1]
        assert sweep.trial(0).user_attrs["validation_loss"] == best["validation_loss"]
        assert sweep.trial(0).value == best["validation_accuracy"]


def test_the_five_lines_of_a_notebook(tmp_path):
    numbers = iter(range(2))

    def objective(trial):
        lr = trial.suggest_float("lr", 0.001, 0.01, log=True)
        settings = xnn.Settings(**FIXED, lr=lr, run_dir=str(tmp_path / str(next(numbers))))
        return xnn.train(settings, callbacks=[Pruning(trial)], test=False).history[-1]["validation_accuracy"]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", pruner=PrunedAfter())
    study.optimize(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * 2
    assert all(set(trial.intermediate_values) == {1, 2} for trial in study.trials)


def test_pruning_wants_a_column_that_is_there(tmp_path):
    settings = xnn.Settings(**FIXED, run_dir=str(tmp_path / "run"))
    with pytest.raises(ValueError, match="watches 'test_accuracy'; the history has"):
        xnn.train(settings, callbacks=[Pruning(Deaf(), "test_accuracy")])
