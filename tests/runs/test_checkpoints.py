"""Checkpoint files: what goes in comes out, and damage anywhere is noticed."""

import errno
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.runs.full_disk import fill_disk
from xnn import tensors
from xnn.errors import RunError
from xnn.files import Folder
from xnn.runs import JsonLines, checkpoints
from xnn.training.team import Alone

ALONE = SimpleNamespace(team=Alone())
"""What a log needs of a trainer."""

ARRAYS = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(
        lambda name: name != "__metadata__"
    ),
    hnp.arrays(
        st.sampled_from(["float32", "float64", "int64", "uint8"]), hnp.array_shapes(min_dims=0, max_side=4, min_side=0)
    ),
    max_size=4,
)
INFO = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def info(epoch=1, batch=0, step=10, **more):
    return {"epoch": epoch, "batch": batch, "step": step, **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@given(arrays=ARRAYS, more=INFO)
def test_what_is_saved_is_loaded(folder, arrays, more):
    state = more | info()
    path = checkpoints.save(folder, arrays, state)
    assert path.name == "epoch-00001.safetensors"
    saved = checkpoints.load(path)
    assert saved.info == state
    assert saved.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert saved.arrays[name].dtype == array.dtype
        assert saved.arrays[name].shape == array.shape
        assert saved.arrays[name].tobytes() == array.tobytes()
    assert list(folder.iterdir()) == [path]


@pytest.fixture(scope="module")
def whole(folder):
    path = checkpoints.save(
        folder / "whole", {"a": np.arange(9.0, dtype="float32"), "b": np.zeros((2, 0))}, info(note="x" * 50)
    )
    return path.read_bytes()


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_noticed(folder, whole, where, bit):
    damaged = bytearray(whole)
    damaged[int(where * len(whole))] ^= 1 << bit
    path = folder / "flipped.safetensors"
    path.write_bytes(damaged)
    with pytest.raises(RunError, match=r"flipped\.safetensors"):
        checkpoints.load(path)


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_torn_file_is_noticed(folder, whole, share):
    path = folder / "torn.safetensors"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RunError, match="is damaged"):
        checkpoints.load(path)


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c")])
def test_an_array_more_or_less_is_noticed(tmp_path, names):
    path = checkpoints.save(tmp_path, {"a": np.ones(2), "b": np.ones(3)}, info())
    with Folder(tmp_path) as folder:
        metadata = tensors.read_metadata(folder, path.name)
        tensors.write(folder, path.name, {name: np.ones(2) for name in names}, metadata)
    complaint = re.escape(f"is damaged: it holds {', '.join(names)}; its description lists a, b")
    with pytest.raises(RunError, match=complaint):
        checkpoints.load(path)


def test_another_format_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", 99)
    path = checkpoints.save(tmp_path, {}, info())
    monkeypatch.undo()
    with pytest.raises(RunError, match="has format 99, this version reads format 1"):
        checkpoints.load(path)


def test_the_newest_is_found_by_its_step_whatever_its_name(tmp_path):
    for state in (info(1, 0, 10), info(1, 3, 13), info(2, 0, 20), info(2, 1, 21)):
        checkpoints.save(tmp_path, {}, state)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("epoch-00001.safetensors", "epoch-00002.safetensors"),
        *("step-00000013.safetensors", "step-00000021.safetensors"),
    ]
    found = []
    for _ in range(4):
        saved, damaged = checkpoints.newest_valid(tmp_path)
        found.append(saved.info["step"])
        assert damaged == []
        saved.path.unlink()
    assert found == [21, 20, 13, 10]
    assert checkpoints.newest_valid(tmp_path) == (None, [])


def test_a_whole_epoch_is_newer_than_its_last_step(tmp_path):
    for state in (info(0, 10, 10), info(1, 0, 10), info(1, 10, 20)):
        checkpoints.save(tmp_path, {}, state)
    (tmp_path / "step-00000020.safetensors").unlink()
    assert checkpoints.newest_valid(tmp_path)[0].path.name == "epoch-00001.safetensors"
    checkpoints.prune(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001.safetensors"]


@pytest.mark.parametrize("harm", ["header", "body", "empty"])
def test_a_damaged_newest_is_named_and_passed_over(tmp_path, harm):
    checkpoints.save(tmp_path, {"a": np.ones(3)}, info(1, 0, 10))
    newest = checkpoints.save(tmp_path, {"a": np.ones(3)}, info(2, 0, 20))
    content = bytearray(newest.read_bytes())
    content[20 if harm == "header" else -1] ^= 1
    newest.write_bytes(b"" if harm == "empty" else content)
    saved, damaged = checkpoints.newest_valid(tmp_path)
    assert saved.info["step"] == 10
    assert len(damaged) == 1
    assert str(newest) in damaged[0]


def test_only_the_newest_are_kept(tmp_path):
    for epoch in range(1, 6):
        checkpoints.save(tmp_path, {}, info(epoch, 0, 10 * epoch))
    (tmp_path / "step-00000007.safetensors").write_bytes(b"torn")
    checkpoints.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("epoch-00004.safetensors", "epoch-00005.safetensors", "step-00000007.safetensors")
    ]


@pytest.mark.parametrize("keep", [1, 2])
def test_newer_ones_that_were_passed_over_do_not_count(tmp_path, keep):
    """Damage in a body does not show in the header that is looked at here."""
    for epoch in (2, 3):
        checkpoints.save(tmp_path, {}, info(epoch, 0, 10 * epoch))
    checkpoints.save(tmp_path, {}, info(1, 0, 10))
    latest = checkpoints.save(tmp_path, {}, info(1, 4, 14))
    checkpoints.prune(tmp_path, keep, latest)
    assert sorted(path.stem for path in tmp_path.iterdir()) == [
        *["epoch-00001"][: keep - 1],
        *("epoch-00002", "epoch-00003", "step-00000014"),
    ]


def test_a_checkpoint_that_cannot_be_deleted_is_an_error(tmp_path, monkeypatch):
    for epoch in (1, 2):
        checkpoints.save(tmp_path, {}, info(epoch, 0, 10 * epoch))

    def refuse(path, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(RunError, match=r"cannot delete .*epoch-00001\.safetensors: Permission denied"):
        checkpoints.prune(tmp_path, 1)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        checkpoints.save(tmp_path / "file" / "checkpoints", {}, info())


def test_rows_that_cannot_be_written_are_an_error(tmp_path):
    for log, hook in ((JsonLines(tmp_path), "epoch_end"), (JsonLines(None, tmp_path), "interval")):
        with pytest.raises(RunError, match=f"cannot write {tmp_path}: Is a directory"):
            getattr(log, hook)(ALONE, {"a": 1})


def test_a_log_that_was_not_asked_for_is_not_written(tmp_path):
    log = JsonLines(tmp_path / "epochs.jsonl")
    log.interval(ALONE, {"step": 1})
    log.epoch_end(ALONE, {"epoch": 1})
    assert (tmp_path / "epochs.jsonl").read_text() == '{"epoch": 1}\n'
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    fill_disk(monkeypatch)
    with pytest.raises(RunError, match=r"cannot write .*rows\.jsonl: No space left on device"):
        JsonLines(tmp_path / "rows.jsonl").epoch_end(ALONE, {"a": 1})
