"""The images that judge the epochs of a run, and end it early."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.runs.rows import RESULT, quick, rows_of
from xnn.runs.assembly import prepare
from xnn.runs.run import resume, train

pytestmark = pytest.mark.usefixtures("undrawn")


def test_validation_images_judge_the_epochs_and_the_test_set_only_the_end(tmp_path):
    result = train(quick(tmp_path / "run", validation=200, epochs=2))
    rows = rows_of(result.directory / "metrics.jsonl")
    for row in rows:
        assert row["test_loss"] is None
        assert row["test_accuracy"] is None
        assert row["validation_loss"] > 0
        assert 0 <= row["validation_accuracy"] <= 1
    assert set(result.values) == RESULT
    job = prepare(quick(tmp_path, validation=200))
    assert (job.train.images, job.held_out.images) == (1237, 200)
    job.model.load_state_dict(load_file(result.directory / "model.safetensors"))
    hits = sum(int(np.sum(job.model(x).argmax(axis=1) == labels)) for x, labels in job.test.epoch(0))
    assert hits / job.test.images == result.values["test_accuracy"]


@pytest.mark.parametrize("every", [1, 2])
def test_early_stopping_ends_a_run_as_complete_and_says_so(tmp_path, every):
    said = []
    chosen = {"validation": 0.2, "early_stopping": 1, "evaluate_every": every, "epochs": 60, "lr": 0.05}
    result = train(quick(tmp_path / "run", **chosen), report=said.append)
    done = result.values["epochs"]
    assert every < done < 60
    losses = result.history.column("validation_loss")
    assert [loss is not None for loss in losses] == [epoch % every == 0 for epoch in range(1, done + 1)]
    assert losses[-1] >= min(loss for loss in losses[:-1] if loss is not None)
    reason = f"validation_loss has not improved for {every} epoch{'s' * (every > 1)}"
    assert said.count(f"ended after epoch {done} of 60: {reason}") == 1
    assert resume(result.directory).was_complete
