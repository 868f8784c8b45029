"""Run directories that somebody else has made, or taken away: nothing outside is touched, and one line says why."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.runs.rows import quick, rows_of
from tests.training.small import StopAt
from xnn.errors import DataError, FolderGone, RunError, SettingError
from xnn.reporting.saved import SavedRun, load_model
from xnn.runs import checkpoints
from xnn.runs.directory import RunDirectory
from xnn.runs.reading import RunFiles
from xnn.runs.run import resume, train
from xnn.training import Callback

pytestmark = [
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.skipif(os.name == "nt", reason="Windows lets not everybody make links, and has no pipes"),
]


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
    with pytest.raises(RunError, match=r"symbolic link|no config\.json|not a folder, or is a link to one"):
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


def test_a_run_leads_to_the_network_only_where_it_is_asked_to(run, monkeypatch, tmp_path):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"dataset": "mnist"}))
    monkeypatch.setenv("XNN_CACHE_DIR", str(tmp_path / "cache"))
    fetched = []
    monkeypatch.setattr("xnn.data.sources.fetch", lambda files, folder, report: fetched.append(folder.name))
    with pytest.raises(DataError, match="add --download"):
        resume(run)
    assert fetched == []
    with pytest.raises(DataError):
        resume(run, download=True)
    assert fetched == ["mnist"]


def test_torchvision_reads_no_folder_that_a_run_names(run, tmp_path):
    """Its readers unpickle."""
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"dataset": "torchvision:MNIST", "data_dir": str(tmp_path)}))
    with pytest.raises(RunError, match="if you trust what is in it, name it again with --data-dir"):
        resume(run)


def test_a_run_whose_callback_adds_to_its_rows_goes_on(tmp_path):
    class Note(Callback):
        def epoch_begin(self, trainer):
            for row in trainer.history:
                row["by_class"] = {"0": 1, "1": [0.5, None]}

    train(quick(tmp_path / "run", epochs=3), callbacks=[Note(), StopAt(60)])
    said = []
    assert resume(tmp_path / "run", warn=said.append).values is not None
    assert said == []
    assert rows_of(tmp_path / "run" / "metrics.jsonl")[0]["by_class"] == {"0": 1, "1": [0.5, None]}


def test_many_rows_are_sampled_and_cut_back_as_they_are(run, monkeypatch):
    rows = rows_of(run / "intervals.jsonl")
    lines = [json.dumps(rows[0] | {"step": step, "note": ["kept"]}) + "\n" for step in range(1, 1001)]
    (run / "intervals.jsonl").write_text("".join(lines))
    monkeypatch.setattr("xnn.runs.reading._MOST_ROWS", 64)
    with RunFiles.existing(run, "") as files:
        found = files.read_intervals()
    assert 32 <= len(found) <= 64
    assert {row["step"] for row in found} <= set(range(1, 1001))
    assert all("note" not in row for row in found)
    with RunDirectory.open(run) as directory:
        directory.cut_back(700, directory.read_metrics())
    assert (run / "intervals.jsonl").read_text() == "".join(lines[:700])


@pytest.mark.parametrize("name", ["metrics.jsonl", "intervals.jsonl"])
def test_no_more_of_the_rows_is_read_than_may_be(complete, tmp_path, name, monkeypatch):
    run = Path(shutil.copytree(complete, tmp_path / "run"))
    line = len((run / name).read_text().splitlines(keepends=True)[0])
    monkeypatch.setattr("xnn.runs.reading._MOST_METRICS", line)
    monkeypatch.setattr("xnn.runs.reading._MOST_INTERVALS", line)
    found = SavedRun.open(run)
    assert len(found.history if name == "metrics.jsonl" else found.intervals) == 1


@pytest.mark.parametrize("command", ["--resume", "run directory"])
def test_a_folder_that_may_not_be_looked_into_is_one_line(run, monkeypatch, command):
    """Of mode 0444 it can be listed, and no file in it can be found; not by root, so the system is made to say so."""
    status = os.stat

    def refuse(path, **options):
        if options.get("dir_fd") is not None:
            raise PermissionError(errno.EACCES, "Permission denied")
        return status(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(RunError, match=rf"{command} .*run: cannot be used: Permission denied"):
        resume(run) if command == "--resume" else SavedRun.open(run)


def test_a_model_for_images_that_do_not_fit_into_memory_is_not_asked(complete, tmp_path, monkeypatch):
    run = Path(shutil.copytree(complete, tmp_path / "run"))
    monkeypatch.setattr("xnn.data.limits.free_memory", lambda: 10)
    with pytest.raises(DataError, match=r"model\.safetensors: an image of 8x8x1: it needs [\d,]+ bytes of memory"):
        load_model(run)


def test_a_run_that_stopped_early_is_not_told_to_train_for_longer(tmp_path):
    train(quick(tmp_path / "run", validation=0.2, early_stopping=1, epochs=60, lr=0.05))
    said = []
    assert resume(tmp_path / "run", report=said.append).was_complete
    assert "its validation loss had stopped falling" in said[-1]
    assert "--epochs" not in said[-1]


def test_an_absurd_number_of_threads_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XNN_NUM_THREADS", "3000")
    with pytest.raises(SettingError, match=r"\$XNN_NUM_THREADS must be at most \d+, not 3000"):
        train(quick(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
