"""The threads of the kernels, and the one setting of their number."""

import bisect
import os
import threading
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import kernels, nn
from xnn._notes import note
from xnn.errors import SettingError
from xnn.kernels import threads as setting
from xnn.kernels.compiling import compilations

pytest.importorskip("numba")
from xnn.kernels.numpy import awake, memory
from xnn.kernels.numpy.threads import Threads, threads


@given(length=st.integers(0, 1000), least=st.integers(1, 300), count=st.sampled_from([1, 2, 3]))
def test_parts_cover_everything_once(length, least, count):
    parts = POOLS[count].parts(length, least)
    assert [i for part in parts for i in part] == list(range(length))
    assert len(parts) <= count
    assert len(parts) == 1 or min(map(len, parts)) >= least


@given(length=st.integers(0, 1000), least=st.integers(0, 300), count=st.sampled_from([1, 2, 3]))
def test_pieces_cover_everything_once_in_turns(length, least, count):
    pool = POOLS[count]
    pieces = pool.pieces(length, least)
    assert [i for piece in pieces for i in piece] == list(range(length))
    assert len(pieces) <= 8 * count
    assert len(pieces) <= count or min(map(len, pieces)) >= least
    assert pool.run(list, pieces) == [list(piece) for piece in pieces]


def test_a_thread_that_is_held_up_leaves_the_rest_to_the_others():
    done = threading.Event()
    made = []

    def task(piece):
        made.append(piece)
        if piece.start == 0:
            assert done.wait(timeout=60)
        elif len(made) == 16:
            done.set()

    POOLS[2].run(task, POOLS[2].pieces(16, 1))
    assert len(made) == 16


POOLS = {count: Threads(count) for count in (1, 2, 3)}


@pytest.mark.parametrize("count", POOLS)
def test_results_come_in_order_and_from_as_many_threads(count):
    pool = POOLS[count]
    parts = pool.parts(10)
    barrier = threading.Barrier(len(parts), timeout=60)

    def task(part):
        barrier.wait()  # Passes only if all parts are under way at once.
        return part, threading.current_thread().name

    results = pool.run(task, parts)
    assert [part for part, _ in results] == parts
    assert len({name for _, name in results}) in (1, 2) or count == 3


@given(work=st.lists(st.integers(0, 2**21), max_size=9), count=st.sampled_from([1, 2, 3]))
def test_calls_side_by_side_are_made_once_each(work, count):
    made = []
    with np.errstate(over="ignore", divide="raise"):
        expected = np.geterr()
        calls = [lambda number=number: made.append((number, np.geterr())) for number in range(len(work))]
        POOLS[count].side_by_side(calls, work)
    assert sorted(number for number, _ in made) == list(range(len(work)))
    assert all(errors == expected for _, errors in made)


def test_calls_with_enough_work_are_made_at_once():
    barrier = threading.Barrier(3, timeout=60)
    POOLS[3].side_by_side([barrier.wait] * 3, [2**20] * 3)
    order = []
    with pytest.raises(threading.BrokenBarrierError):
        POOLS[3].side_by_side([partial(order.append, 1), partial(barrier.wait, timeout=0.01)], [1, 1])
    assert order == [1]


def test_an_error_reaches_the_caller_and_the_threads_go_on():
    pool = POOLS[2]

    def fail(part):
        if part.start:
            raise ValueError("in the other thread")

    with pytest.raises(ValueError, match="in the other thread"):
        pool.run(fail, pool.parts(10))
    assert pool.run(len, pool.parts(10)) == [5, 5]


def test_work_inside_work_is_done_by_the_thread_itself():
    pool = POOLS[2]
    assert pool.run(lambda part: pool.run(len, pool.parts(4)), pool.parts(10)) == [[2, 2], [2, 2]]


def test_a_model_lets_blas_have_its_threads_unless_it_convolves():
    affine = nn.Sequential(nn.Linear(3), nn.ReLU(), nn.Linear(2)).build((4,), backend="numpy")
    convolving = nn.Sequential(nn.Residual(nn.Conv2d(1, 3, padding=1)), nn.Flatten()).build((4, 4, 1), backend="numpy")
    for model, expected in ((affine, True), (convolving, False)):
        with model.computing():
            assert threads().blas.allows_products is expected


@pytest.mark.parametrize("convolves", [True, False])
def test_a_call_decides_for_itself_even_inside_the_context_of_another_model(convolves):
    class Asks(nn.Conv2d if convolves else nn.Linear):
        def forward(self, x, train=False):
            answers.append(threads().blas.allows_products)
            return super().forward(x, train)

    answers = []
    model = (Asks(1, 1) if convolves else Asks(1)).build((2, 2, 1), backend="numpy")
    others = [nn.Conv2d(1, 1).build((2, 2, 1), backend="numpy"), nn.Linear(1).build((1,), backend="numpy")]
    for context in (nullcontext(), model.computing(), *(other.computing() for other in others)):
        with context:
            model(np.ones((1, 2, 2, 1), np.float32))
    assert answers == [not convolves] * 4


def test_the_setting(monkeypatch):
    monkeypatch.setenv("XNN_NUM_THREADS", "3")
    assert setting.count() == 3
    monkeypatch.delenv("XNN_NUM_THREADS")
    assert setting.count() >= 1
    assert not setting.is_set()
    monkeypatch.setenv("XNN_NUM_THREADS", "0000000000003")
    assert setting.count() == 3
    for text in ("many", "-1", "00", "\N{ARABIC-INDIC DIGIT ZERO}", "²"):
        monkeypatch.setenv("XNN_NUM_THREADS", text)
        with pytest.raises(SettingError, match=rf"^\$XNN_NUM_THREADS must be a positive integer, not '{text}'$"):
            setting.count()
    with pytest.raises(SettingError, match="threads must be a positive integer, not 0"):
        kernels.set_threads(0)


@pytest.mark.parametrize(
    ("wanted", "shown"), [(3000, "3000"), (10**400, "a number of 401 digits"), ("9" * 5000, "a number of 5000 digits")]
)
def test_an_absurd_number_of_threads_is_refused_in_one_line(monkeypatch, wanted, shown):
    most = max(256, 4 * setting.cores())
    line = rf"must be at most {most}, not {shown}; this process may use (one core|\d+ cores)$"
    monkeypatch.setenv("XNN_NUM_THREADS", str(wanted))
    with pytest.raises(SettingError, match=r"^\$XNN_NUM_THREADS " + line):
        setting.count()
    if isinstance(wanted, int):
        with pytest.raises(SettingError, match="^threads " + line):
            kernels.set_threads(wanted)
    monkeypatch.setenv("XNN_NUM_THREADS", str(most))
    assert setting.count() == most


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_with_fewer_threads_than_asked_for_the_parts_are_the_same(monkeypatch, caplog, allowed):
    note.cache_clear()
    left = iter(range(allowed))
    really = threading.Thread.start

    def start(thread):
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        really(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    pool = Threads(6)
    for parts in (pool.parts(60), pool.pieces(60, 1)):
        assert pool.run(lambda part: (part, threading.get_ident()), parts[:1])[0][0] == parts[0]
        results = pool.run(lambda part: (part, threading.get_ident()), parts)
        assert [part for part, _ in results] == parts
        assert len({ident for _, ident in results}) <= 1 + allowed
    assert [record.getMessage() for record in caplog.records] == [
        "xnn: the system refuses to start more threads (can't start new thread); "
        "xnn goes on with fewer and may be slower"
    ]


def test_an_interrupt_while_others_work_leaves_nothing_behind():
    pool = Threads(2)
    gate = threading.Event()
    assert pool.run(len, pool.parts(10)) == [5, 5]
    worker = pool._team.workers[0]
    wait = worker.wait

    def interrupted():
        raise KeyboardInterrupt

    worker.wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        pool.run(lambda part: part.start and gate.wait(timeout=60), pool.parts(10))
    worker.wait = wait
    assert pool.run(sum, pool.parts(10)) == [10, 35]
    gate.set()
    assert pool.run(sum, pool.parts(10)) == [10, 35]


def test_where_the_low_priority_is_forbidden_no_core_is_kept_awake(monkeypatch):
    ended = threading.Event()

    def forbid(*arguments):
        ended.set()
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("xnn.kernels.numpy.awake.IS_POSSIBLE", True)
    monkeypatch.setattr(os, "SCHED_IDLE", 5, raising=False)
    monkeypatch.setattr(os, "sched_param", int, raising=False)
    monkeypatch.setattr(os, "sched_setscheduler", forbid, raising=False)
    pool = Threads(2)
    for _ in range(3):
        assert pool.run(sum, pool.parts(10)) == [10, 35]
        assert ended.wait(timeout=60)
    assert not any(spinner.sleeps for spinner in pool._team._awake._spinners)


def test_what_keeps_cores_awake_is_compiled_beside_the_work_and_at_its_priority(monkeypatch):
    """At the lowest one it might hold up all other threads that compile."""
    order, me = [], threading.get_ident()

    class Watch:
        def compile(self, signature):
            order.append("beside" if compilations._is_beside else "compiled")

    def lower(*arguments):
        # Those of an earlier test may only begin now.
        if threading.get_ident() == me:
            order.append("lowered")
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(awake, "start", lambda work, name: None)
    spinner = awake._Spinner(np.zeros(1, np.int64))
    monkeypatch.setattr(awake, "_watch", Watch())
    monkeypatch.setattr(os, "SCHED_IDLE", 5, raising=False)
    monkeypatch.setattr(os, "sched_param", int, raising=False)
    monkeypatch.setattr(os, "sched_setscheduler", lower, raising=False)
    spinner._spin()
    assert order == ["beside", "lowered"]


def test_memory_of_a_new_size_can_be_taken_by_two_threads_at_once(monkeypatch):
    really = bisect.insort

    def insort(sizes, size):
        really(sizes, size)
        # Whoever finds the size looks into the stock.
        assert memory.empty((length // 4 - 1,)).shape == (length // 4 - 1,)

    length = 4 * 123_457
    assert length not in memory._sizes
    monkeypatch.setattr(memory.bisect, "insort", insort)
    assert memory.empty((length // 4,)).shape == (length // 4,)
