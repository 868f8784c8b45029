"""What is done before a run so that nothing is left to compile in it."""

import pytest

from tests.runs.rows import quick
from xnn.runs import warming


@pytest.mark.parametrize(("epochs", "expected"), [(1, [1]), (2, [1, 2]), (40, [1, 40])])
def test_only_the_first_epoch_and_the_last_are_computed(monkeypatch, tmp_path, epochs, expected):
    trainers, make = [], warming.make_trainer
    monkeypatch.setattr(warming, "make_trainer", lambda *given: trainers.append(make(*given)) or trainers[-1])
    warming.warm_up(quick(tmp_path / "run", epochs=epochs), lambda line: None)
    (trainer,) = trainers
    assert trainer.history.column("epoch") == expected
    assert not list(tmp_path.iterdir())
