"""The threads of the kernels, and the one setting of their number."""

import threading
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import kernels, nn
from xnn.errors import SettingError
from xnn.kernels import threads as setting

pytest.importorskip("numba")
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


def test_blas_has_one_thread_inside_and_as_many_as_before_outside():
    libraries = threads().alone.libraries
    before = [library.get_num_threads() for library in libraries]
    with threads().alone, threads().alone:
        assert all(library.get_num_threads() == 1 for library in libraries)
    assert [library.get_num_threads() for library in libraries] == before


def test_blas_has_its_threads_for_products_where_nothing_else_forbids_it():
    pool, count = Threads(2), 2
    before = [library.get_num_threads() for library in pool.alone.libraries]

    def seen():
        return [library.get_num_threads() for library in pool.alone.libraries]

    with pool.alone_but_for_products:
        assert seen() == [1] * len(before)
        assert pool.alone.allows_products
        with pool.alone.lifted():
            assert seen() == before
        assert seen() == [1] * len(before)
        with pool.alone:
            assert not pool.alone.allows_products
        assert not any(pool.run(lambda part: pool.alone.allows_products, pool.parts(count)))
    assert pool.alone.allows_products
    with pool.alone, pool.alone_but_for_products:
        assert not pool.alone.allows_products
    with pool.alone.lifted():
        assert seen() == before
    assert seen() == before


def test_a_model_lets_blas_have_its_threads_unless_it_convolves():
    affine = nn.Sequential(nn.Linear(3), nn.ReLU(), nn.Linear(2)).build((4,), backend="numpy")
    convolving = nn.Sequential(nn.Residual(nn.Conv2d(1, 3, padding=1)), nn.Flatten()).build((4, 4, 1), backend="numpy")
    for model, expected in ((affine, True), (convolving, False)):
        with model.alone():
            assert threads().alone.allows_products is expected


def test_the_setting(monkeypatch):
    monkeypatch.setenv("XNN_NUM_THREADS", "3")
    assert setting.count() == 3
    monkeypatch.delenv("XNN_NUM_THREADS")
    assert setting.count() >= 1
    assert not setting.is_set()
    monkeypatch.setenv("XNN_NUM_THREADS", "many")
    with pytest.raises(SettingError, match=r"^\$XNN_NUM_THREADS must be a positive integer, not 'many'$"):
        setting.count()
    with pytest.raises(SettingError, match="threads must be a positive integer, not 0"):
        kernels.set_threads(0)
