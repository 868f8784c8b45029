"""Who runs which trial: whatever dies, so many trials end, each of them once."""

from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.errors import RunError
from xnn.sweeps.sweep import MOST_DEATHS, Definition, Sweep

optuna = pytest.importorskip("optuna", reason="a sweep needs optuna")

from optuna.trial import TrialState  # noqa: E402 - only where it is installed

DEFINITION = Definition({"model": "mlp", "validation": 0.1, "seed": 3}, {"lr": "log:0.001..0.1", "hidden": "8,16,32"})
FINITE = Definition({"validation": 0.1}, {"hidden": "8,16,32", "keep_best": "true,false"})


def opened(folder, definition=DEFINITION):
    return Sweep.opened(folder, folder / "study.journal", definition)


def end(sweep, claim, score):
    notes = {"validation_accuracy": score, "validation_loss": 1 - score, "epochs": 1, "seconds": 0.1}
    sweep.tell(claim.number, TrialState.COMPLETE, score, **notes)


@settings(max_examples=8)  # each opens dozens of studies
@given(data=st.data(), trials=st.integers(1, 4), workers=st.integers(1, 3))
def test_so_many_trials_end_each_once_whoever_dies(tmp_path_factory, data, trials, workers):
    """A process that dies lets go of its lock, and of nothing else."""
    folder = tmp_path_factory.mktemp("sweep")
    held, ended, begun = {}, [], {}
    for _ in range(30):
        worker = data.draw(st.integers(0, workers - 1))
        if worker not in held:
            stack = ExitStack()
            sweep = stack.enter_context(opened(folder))
            claim = stack.enter_context(sweep.claimed(trials))
            if claim is None:
                assert len(ended) + len(held) == trials  # nothing is left to claim
                stack.close()
                continue
            assert claim.number not in ended
            assert claim.number not in [other.number for _, _, other in held.values()]
            assert begun.setdefault(claim.number, claim.params) == claim.params
            held[worker] = stack, sweep, claim
            continue
        stack, sweep, claim = held.pop(worker)
        if data.draw(st.booleans()):
            end(sweep, claim, data.draw(st.floats(0, 1)))
            ended.append(claim.number)
        stack.close()
    for stack, sweep, claim in held.values():
        end(sweep, claim, 0.5)
        ended.append(claim.number)
        stack.close()
    with opened(folder) as sweep:
        while True:
            with sweep.claimed(trials) as claim:
                if claim is None:
                    break
                end(sweep, claim, 0.5)
                ended.append(claim.number)
        assert sorted(ended) == list(range(trials)) == [trial.number for trial in sweep.finished()]


@settings(max_examples=4)
@given(kills=st.sets(st.integers(0, 5)))
def test_the_draws_of_one_worker_are_the_same_however_often_it_is_killed(tmp_path_factory, kills):
    def drawn(killed):
        folder = tmp_path_factory.mktemp("sweep")
        for number in range(6):
            if number in killed:
                with opened(folder) as sweep, sweep.claimed(6):
                    pass
            with opened(folder) as sweep, sweep.claimed(6) as claim:
                end(sweep, claim, 1 - claim.params["lr"])
        with opened(folder) as sweep:
            return [trial.params for trial in sweep.trials()]

    assert drawn(kills) == drawn(())


@pytest.mark.parametrize("seed", range(3))
def test_no_settings_are_tried_twice_and_no_more_than_there_are(tmp_path, seed):
    with opened(tmp_path, Definition({"seed": seed}, FINITE.space)) as sweep:
        assert sweep.most(20) == 6
        assert sweep.most(4) == 4
        for _ in range(6):
            with sweep.claimed(6) as claim:
                end(sweep, claim, 0.5)
        assert len({tuple(sorted(trial.params.items())) for trial in sweep.trials()}) == 6


def test_a_trial_whose_process_dies_too_often_counts_as_failed(tmp_path):
    with opened(tmp_path) as sweep:
        for _ in range(MOST_DEATHS):
            with sweep.claimed(1) as claim:
                sweep.count_death(claim.number)
        with sweep.claimed(1) as claim:
            assert claim is None
        assert sweep.trial(0).state == TrialState.FAIL
        assert "died 3 times" in sweep.trial(0).user_attrs["why"]
        assert sweep.winner() is None
        sweep.count_death(0)  # an ended trial has none
        assert sweep.trial(0).user_attrs["deaths"] == MOST_DEATHS


@pytest.mark.parametrize(("score", "best"), [("accuracy", 2), ("loss", 1)])
def test_the_winner_has_the_best_score_and_of_equals_the_lowest_loss(tmp_path, score, best):
    values = [(0.8, 0.5), (0.7, 0.1), (0.9, 0.3), (0.9, 0.4)]
    with opened(tmp_path, Definition({}, {"lr": "0.1..0.2"}, score)) as sweep:
        for accuracy, loss in values:
            with sweep.claimed(9) as claim:
                notes = {"validation_accuracy": accuracy, "validation_loss": loss}
                sweep.tell(claim.number, TrialState.COMPLETE, accuracy if score == "accuracy" else loss, **notes)
        assert sweep.winner().number == best


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Definition(DEFINITION.settings, {"lr": "0.1..0.2", "hidden": "8,16,32"}), "lr=0.1..0.2"),
        (Definition(DEFINITION.settings, {"lr": "log:0.001..0.1"}), "hidden=not given"),
        (Definition({**DEFINITION.settings, "epochs": 3}, DEFINITION.space), "epochs 3"),
        (Definition({**DEFINITION.settings, "seed": 4}, DEFINITION.space), "seed 4"),
        (Definition(DEFINITION.settings, DEFINITION.space, "loss"), "--score loss"),
    ],
)
def test_another_sweep_is_not_mixed_in(tmp_path, other, words):
    with opened(tmp_path):
        pass
    with opened(tmp_path, None) as sweep:
        assert sweep.definition.to_dict() == DEFINITION.to_dict()
    with pytest.raises(RunError) as caught, opened(tmp_path, other):
        pass
    assert words in str(caught.value)
    assert "was begun with" in str(caught.value)


def test_a_study_of_something_else_is_refused(tmp_path):
    from xnn.sweeps.storage import locks_of, open_storage

    path = tmp_path / "study.journal"
    with locks_of(path) as locks:
        optuna.create_study(study_name="mine", storage=open_storage(path, locks))
    with pytest.raises(RunError, match="holds no sweep"), opened(tmp_path):
        pass
