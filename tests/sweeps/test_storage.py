"""The journal: nothing whole is lost, and nothing torn is kept."""

import errno
import multiprocessing
import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import RunError
from xnn.runs import lock
from xnn.sweeps.storage import JOURNAL, locks_of, open_storage
from xnn.sweeps.sweep import Definition, Sweep

optuna = pytest.importorskip("optuna", reason="a sweep needs optuna")

SPACE = {"x": optuna.distributions.FloatDistribution(0, 1)}


@given(cut=st.integers(0, 400), more=st.integers(1, 3))
def test_a_line_that_was_cut_short_is_dropped_and_writing_goes_on(tmp_path_factory, cut, more):
    path = tmp_path_factory.mktemp("study") / "study.journal"
    with locks_of(path) as locks:
        study = optuna.create_study(study_name="s", storage=open_storage(path, locks))
        study.set_user_attr("before", "é" * 10)
        kept = path.stat().st_size
        for _ in range(2):
            study.tell(study.ask(SPACE), 1.0)
        whole = path.read_bytes()
        cut = min(cut, len(whole) - kept)
        os.truncate(path, len(whole) - cut)
        left = whole[: len(whole) - cut].rpartition(b"\n")[0] + b"\n"
        study = optuna.load_study(study_name="s", storage=open_storage(path, locks))
        for _ in range(more):
            study.tell(study.ask(SPACE), 1.0)
        assert path.read_bytes().startswith(left)
        found = optuna.load_study(study_name="s", storage=open_storage(path, locks))
        assert found.user_attrs == {"before": "é" * 10}
        assert len(found.trials) == left.count(b'"op_code":4') + more


def _hold(path, ready):
    with locks_of(path) as locks:
        open_storage(path, locks)._backend._lock.acquire()
        ready.set()
        time.sleep(60)


@pytest.mark.skipif(os.name == "nt", reason="this system has no SIGKILL")
def test_the_lock_of_a_killed_process_holds_nobody_up(tmp_path):
    path = tmp_path / "study.journal"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(path, ready))
    process.start()
    assert ready.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with locks_of(path) as locks:
        assert locks.exists(JOURNAL)
        # Optuna's own lock would be waited for here, for half a minute.
        study = optuna.create_study(study_name="s", storage=open_storage(path, locks))
        study.tell(study.ask(SPACE), 1.0)


@pytest.mark.parametrize(
    "content", [b"{}\n", b"nothing\nof the kind\n", b'{"op_code": 99}\n', b"[]\n[]\n", b"\x00\xff\n\n"]
)
def test_other_files_are_refused_in_a_line(tmp_path, content):
    path = tmp_path / "study.journal"
    path.write_bytes(content)
    with locks_of(path) as locks, pytest.raises(RunError, match="journal") as caught:
        open_storage(path, locks)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_file_system_without_locks_is_refused_in_a_line(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    path = tmp_path / "study.journal"
    monkeypatch.setattr(lock, "_lock", fail)
    definition = Definition({"validation": 0.1}, {"lr": "0.1,0.2"})
    refused = pytest.raises(RunError, match=r"^--storage: .*cannot be locked: [^\n]*$")
    with refused, Sweep.opened(tmp_path, path, definition):
        pass
    assert not path.exists() or not path.read_bytes()


def test_a_folder_is_refused(tmp_path):
    with locks_of(tmp_path) as locks, pytest.raises(RunError, match="is no file"):
        open_storage(tmp_path, locks)
