"""Event files: whatever stops a process, and wherever it goes on, readers see every step once."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import RunError
from xnn.files import Folder
from xnn.training.event_files import EventFiles

REASON = "TensorBoard is not installed"
summary_pb2 = pytest.importorskip("tensorboard.compat.proto.summary_pb2", reason=REASON)
accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=REASON)
loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader", reason=REASON)


def value(number, tag="loss"):
    return summary_pb2.Summary.Value(tag=tag, simple_value=number)


def seen(path):
    reader = accumulator.EventAccumulator(str(path))
    reader.Reload()
    return points(reader)


def points(reader):
    return [(event.step, event.value) for event in reader.Scalars("loss")] if "loss" in reader.Tags()["scalars"] else []


sessions = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=4)


@given(sessions)
def test_readers_see_each_step_once_whatever_was_cut(stops):
    """A session goes on from a share of the steps so far, writes some more, and loses its last bytes."""
    with tempfile.TemporaryDirectory() as path, Folder(Path(path)) as folder:
        expected: dict[int, float] = {}
        watching = accumulator.EventAccumulator(path)
        for number, (share, count, torn) in enumerate(stops):
            start = round(share * len(expected))
            files = EventFiles(folder)
            files.cut_back(start)
            files.begin(start)
            expected = {step: each for step, each in expected.items() if step <= start}
            assert files.steps() == files.steps("loss") == set(expected)
            assert files.steps("other") == set()
            for step in range(start + 1, start + count + 1):
                files.write(step, [value(1000.0 * number + step)])
                expected[step] = 1000.0 * number + step
            watching.Reload()
            assert points(watching) == sorted(expected.items())
            if torn and count:
                shorten(folder, files.name, torn)
                del expected[start + count]
            assert seen(path) == sorted(expected.items())


def shorten(folder, name, count):
    content = folder.read(name, 2**20)
    folder.write(name, content[:-count])


def test_every_byte_of_a_file_is_a_record_that_tensorboard_reads(tmp_path):
    with Folder(tmp_path) as folder:
        files = EventFiles(folder)
        files.begin(7)
        files.write(8, [value(0.5), value(1.5, "other")])
        events = list(loader.EventFileLoader(str(tmp_path / files.name)).Load())
    assert [event.file_version for event in events] == ["brain.Event:2", "", ""]
    assert [event.step for event in events] == [0, 8, 8]
    assert all(event.wall_time > 0 for event in events)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_a_damaged_file_counts_up_to_its_damage(garbage, place):
    with tempfile.TemporaryDirectory() as path, Folder(Path(path)) as folder:
        files = EventFiles(folder)
        files.begin(0)
        for step in range(1, 6):
            files.write(step, [value(float(step))])
        content = folder.read(files.name, 2**20)
        folder.write(files.name, content[:place] + garbage)
        steps = files.steps()
        files.cut_back(5)
        assert files.steps() == steps
        whole = [step for step in range(1, 6) if place >= len(content) - (5 - step) * record(content)]
        assert steps >= set(whole)
        assert len(folder.read(files.name, 2**20)) <= max(place, 0) + len(garbage)


def record(content):
    """Return the length of the last record: those of the steps are equally long."""
    return (len(content) - content.index(b"loss") + 30) // 5


def test_files_of_other_programs_stay_as_they_are(tmp_path):
    other = tmp_path / "events.out.tfevents.1700000000.host"
    other.write_bytes(b"not a record")
    with Folder(tmp_path) as folder:
        files = EventFiles(folder)
        files.cut_back(0)
        files.begin(0)
        assert files.steps() == set()
    assert other.read_bytes() == b"not a record"


def test_a_link_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "events.out.tfevents.0000000000.xnn").symlink_to(outside)
    with Folder(inside) as folder:
        files = EventFiles(folder)
        with pytest.raises(RunError, match="symbolic link"):
            files.cut_back(0)
    assert outside.read_bytes() == b"precious"


def test_a_folder_that_cannot_be_written_is_a_run_error(tmp_path):
    with Folder(tmp_path) as folder:
        files = EventFiles(folder)
        (tmp_path / "events.out.tfevents.0000000000.xnn").mkdir()
        with pytest.raises(RunError, match=r"cannot read .*tfevents"):
            files.begin(0) or files.steps()
    shutil.rmtree(tmp_path / "events.out.tfevents.0000000000.xnn")
