"""Run directories that somebody else has made, or taken away: nothing outside is touched, and one line says why."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.training.rows import rows_of
from tests.training.test_run import StopAt, quick
from xnn.errors import FolderGone, RunError
from xnn.reporting.saved import SavedRun, load_model
from xnn.training import Callback, checkpoints
from xnn.training.run import resume, train
from xnn.training.run_directory import RunDirectory

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows lets not everybody make links, and has no pipes")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped in its second epoch of 23 steps."""
    path = tmp_path_factory.mktemp("stopped") / "run"
    train(quick(path), callbacks=[StopAt(30)])
    return path


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    path = tmp_path_factory.mktemp("complete") / "run"
    train(quick(path))
    return path


@pytest.fixture
def run(stopped, tmp_path):
    return Path(shutil.copytree(stopped, tmp_path / "run"))


@pytest.mark.parametrize("name", [".lock", "checkpoints", "config.json", "intervals.jsonl"])
def test_links_are_refused_and_what_they_lead_to_stays(run, tmp_path, name):
    outside = tmp_path / "outside"
    if name == "checkpoints":
        (run / name).rename(outside)
        before = sorted((path.name, path.read_bytes()) for path in outside.iterdir())
    else:
        outside.write_bytes((run / name).read_bytes())
        (run / name).unlink()
    (run / name).symlink_to(outside)
    with pytest.raises(RunError, match=r"symbolic link|no config\.json|no folder, or a link to one"):
        resume(run)
    if name == "checkpoints":
        assert sorted((path.name, path.read_bytes()) for path in outside.iterdir()) == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "model.safetensors", "result.json", "curves.png"])
def test_a_link_where_a_file_is_written_is_replaced(run, tmp_path, name):
    outside = tmp_path / "outside"
    outside.write_text("keep")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(outside)
    if name == "result.json":  # which would say that the run is complete
        with pytest.raises(RunError, match=r"symbolic link|the run is complete"):
            resume(run)
    else:
        assert resume(run).values is not None
        assert not (run / name).is_symlink()
    assert outside.read_text() == "keep"


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "intervals.jsonl", "result.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_what_is_no_regular_file_or_too_large_is_not_waited_for(complete, tmp_path, name, kind):
    run = Path(shutil.copytree(complete, tmp_path / "run"))
    (run / name).unlink()
    if kind == "pipe":
        os.mkfifo(run / name)
    elif kind == "device":
        (run / name).symlink_to("/dev/zero")
    else:
        with (run / name).open("wb") as file:
            file.truncate(2**40)
    if kind == "sparse" and name.endswith(".jsonl"):
        found = SavedRun.open(run)  # its first line is none
        assert (found.history if name == "metrics.jsonl" else found.intervals) == []
        return
    with pytest.raises(RunError, match=r"(cannot read .*|no config)"):
        SavedRun.open(run)


def rewritten(path: Path, change) -> None:
    """Change a checkpoint's description; its checksums are right."""
    saved = checkpoints.load(path)
    info = json.loads(json.dumps(saved.info))
    change(info)
    arrays = dict(saved.arrays)
    path.unlink()
    written = checkpoints.save(path.parent, arrays, info)
    written.rename(path)


ODD = {
    "no history": lambda info: info.update(history=[]),
    "history of text": lambda info: info["history"][0].update(train_loss="x"),
    "layout of numbers": lambda info: info.update(layout=3),
    "another layout": lambda info: info["layout"].pop(),
    "no sums": lambda info: info.pop("epoch_sums"),
    "half a sum": lambda info: info["epoch_sums"].pop("images"),
    "another dtype": lambda info: info.update(dtype="float16"),
    "a batch that is none": lambda info: info.update(batch=500),
    "a later step": lambda info: info.update(step=31),
    "no steps of the optimizer": lambda info: info.pop("optimizer_steps"),
    "negative seconds": lambda info: info.update(seconds=-1.0),
    "an endless count": lambda info: info.update(random_counter=2**64),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_checkpoint_with_right_checksums_is_passed_over(run, complete, odd):
    newest = run / "checkpoints" / "step-00000030.safetensors"
    rewritten(newest, ODD[odd])
    said = []
    result = resume(run, warn=said.append)
    assert [str(newest) in line for line in said] == [True]
    assert (run / "model.safetensors").read_bytes() == (complete / "model.safetensors").read_bytes()
    assert result.values is not None


@pytest.mark.parametrize("name", ["parameters", "buffers", "optimizer/first_moment"])
@pytest.mark.parametrize("harm", ["one number", "missing", "another type"])
def test_odd_arrays_with_right_checksums_are_passed_over(run, name, harm):
    newest = run / "checkpoints" / "step-00000030.safetensors"
    saved = checkpoints.load(newest)
    arrays = dict(saved.arrays)
    if harm == "missing":
        del arrays[name]
    else:
        arrays[name] = np.ones(1, "float32") if harm == "one number" else arrays[name].astype("complex64")
    newest.unlink()
    checkpoints.save(newest.parent, arrays, saved.info)
    said = []
    assert resume(run, warn=said.append).values is not None
    assert len(said) == 1


def test_where_every_checkpoint_is_odd_one_line_says_so(run):
    for path in (run / "checkpoints").iterdir():
        rewritten(path, ODD["half a sum"])
    with pytest.raises(RunError, match=r"no sound checkpoint is left: .*images") as caught:
        resume(run)
    assert "\n" not in str(caught.value)


def test_a_row_that_lacks_a_value_does_not_stop_a_run_from_ending(run):
    rows = rows_of(run / "intervals.jsonl")
    del rows[1]["interval_loss"]
    (run / "intervals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert resume(run).values is not None
    assert all("interval_loss" in row for row in rows_of(run / "intervals.jsonl"))


@pytest.mark.parametrize("harm", ["deleted", "renamed", "replaced"])
@pytest.mark.parametrize("step", [3, 23, 40])
def test_a_run_whose_folder_is_gone_ends_and_writes_nowhere(tmp_path, harm, step):
    path = tmp_path / "run"

    class TakeAway(Callback):
        def step_end(self, trainer):
            if trainer.step != step:
                return
            if harm == "deleted":
                shutil.rmtree(path)
            else:
                path.rename(tmp_path / "elsewhere")
                if harm == "replaced":
                    path.mkdir()

    with pytest.raises(FolderGone, match=r"was deleted, renamed or replaced while it was in use"):
        train(quick(path), callbacks=[TakeAway()])
    assert not path.exists() or not list(path.iterdir())
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("where", [-1, -500])
def test_a_flipped_bit_in_a_trained_weight_is_noticed(complete, tmp_path, where):
    run = Path(shutil.copytree(complete, tmp_path / "run"))
    content = bytearray((run / "model.safetensors").read_bytes())
    content[where] ^= 1
    (run / "model.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"model\.safetensors is damaged: '.*' does not match its checksum"):
        load_model(run)


def test_a_model_that_is_described_larger_than_it_is_is_not_built(complete, tmp_path):
    """A million hidden units would take terabytes."""
    run = Path(shutil.copytree(complete, tmp_path / "run"))
    with RunDirectory.existing(run, "") as directory:
        description = directory.read_description()
        description["settings"]["hidden"] = 1_000_000
        saved = directory.read_model(description, 10**6)
        directory.write_model(saved, description)
    with pytest.raises(RunError, match=r"is damaged: its arrays do not have the [\d,]+ numbers of its model"):
        load_model(run)
