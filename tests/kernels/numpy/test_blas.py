"""The number of BLAS's threads, set from any thread, and products that are the same whatever other threads do."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.kernels.numpy.networks import NETWORKS, trained
from xnn.training import Callback

pytest.importorskip("numba")
from xnn.kernels.numpy.blas import Blas
from xnn.kernels.numpy.linear import _TINY_PRODUCT, product
from xnn.kernels.numpy.threads import threads

HERE = threads().blas
if not HERE.libraries:
    pytest.skip("threadpoolctl finds no library that multiplies NumPy's matrices", allow_module_level=True)


def counts():
    """How many threads the libraries have now."""
    return [library.get_num_threads() for library in HERE.libraries]


def in_another_thread(function):
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function).result(timeout=60)


@pytest.fixture(autouse=True)
def two_threads_of_blas():
    """Give BLAS two threads, whatever the environment says, and check that it has them afterwards."""
    kept = HERE.counts()
    HERE._apply([2] * len(kept))
    yield
    left = counts()
    HERE._apply(kept)
    assert left == [2] * len(kept)


@pytest.mark.parametrize("name", ["alone", "alone_but_for_products", "one_thread"])
def test_any_thread_holds_blas_to_one_thread(name):
    def hold():
        if name == "one_thread":
            inside = HERE.one_thread(HERE.one_thread, counts)
        else:
            with getattr(HERE, name), getattr(HERE, name):
                inside = counts()
        return inside, counts()

    # The main thread first: from then on threadpoolctl would let no other set the number.
    for inside, after in (hold(), in_another_thread(hold), hold()):
        assert set(inside) == {1}
        assert set(after) == {2}


def test_blas_has_its_threads_when_the_last_of_several_threads_lets_go():
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with HERE.alone:
            entered.set()
            assert leave.wait(timeout=60)

    with ThreadPoolExecutor(1) as executor, HERE.alone:
        other = executor.submit(hold)
        assert entered.wait(timeout=60)
        with HERE.alone:
            assert set(counts()) == {1}
        leave.set()
        other.result(timeout=60)
        assert set(counts()) == {1}
    assert set(counts()) == {2}


def test_a_limit_stays_whether_blas_is_held_or_not():
    # More libraries may have been loaded by now than when the process's own was made.
    blas = Blas()
    kept = blas.counts()
    two = [2] * len(kept)
    try:
        blas._apply(two)
        blas.limit(7)
        assert blas.counts() == two
        with blas.alone:
            blas.limit(1)
        assert set(counts()) == {1}
        blas._apply(two)
        blas.limit(1)
        assert set(counts()) == {1}
    finally:
        blas._apply(kept)


def test_products_have_all_threads_where_the_thread_itself_allows_them():
    assert HERE.allows_products
    assert set(HERE.all_threads(counts)) == {2}
    with HERE.alone_but_for_products:
        assert HERE.allows_products
        assert set(HERE.all_threads(counts)) == {2}
        assert set(counts()) == {1}
        with HERE.alone:
            assert not HERE.allows_products
            assert in_another_thread(lambda: HERE.allows_products)
            with HERE.alone_but_for_products:
                assert HERE.allows_products
        assert not HERE.one_thread(lambda: HERE.allows_products)
        pool = threads()
        assert not any(pool.run(lambda part: pool.blas.allows_products, pool.parts(pool.count)))
    assert HERE.allows_products


def test_work_at_one_thread_and_products_with_all_take_turns():
    seen, calls = set(), {1: HERE.one_thread, 2: HERE.all_threads}

    def see(number):
        time.sleep(0)  # lets another thread run
        seen.add((number, *counts()))

    def look(*expected):
        for number in 40 * expected:
            calls[number](see, number)

    with ThreadPoolExecutor(4) as executor, HERE.alone_but_for_products:
        others = [executor.submit(look, number) for number in (1, 1, 2, 2)]
        look(1, 2)
        for other in others:
            other.result(timeout=60)
    assert seen == {(1, *[1] * len(counts())), (2, *[2] * len(counts()))}


def check_is_clean():
    assert set(counts()) == {2}
    assert HERE.allows_products
    assert (HERE._usual, HERE._is_at_one) == (None, False)
    left = HERE._sections, HERE._products, HERE._holds, HERE._queue, HERE._mine.sections
    assert not any(left)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timer")
def test_the_next_work_repairs_what_interrupts_left():
    matrix, seen = np.ones((8, 8), np.float32), 0

    def interrupt(*_):
        raise KeyboardInterrupt

    def product():
        return matrix @ matrix

    before = signal.signal(signal.SIGALRM, interrupt)
    end = time.monotonic() + 0.5
    try:
        # In the midst of the work, not before it, and at ever other places of it.
        while time.monotonic() < end:
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + 1e-6 * (seen % 40))
                while True:
                    HERE.one_thread(product)
                    with HERE.alone, HERE.alone_but_for_products:
                        HERE.one_thread(HERE.one_thread, product)
                        HERE.all_threads(product)
            except KeyboardInterrupt:
                seen += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen > 100
    with HERE.alone:
        HERE.one_thread(product)
    check_is_clean()


def test_an_interrupt_keeps_no_other_thread_waiting(monkeypatch):
    """Even if it comes when the work is done, but the others have not been told yet."""

    def interrupt():
        raise KeyboardInterrupt

    for leave, enter in ((HERE.one_thread, HERE.all_threads), (HERE.all_threads, HERE.one_thread)):
        with monkeypatch.context() as patch:
            patch.setattr(HERE, "_end", interrupt)
            with pytest.raises(KeyboardInterrupt):
                leave(counts)
        assert set(in_another_thread(lambda enter=enter: enter(counts))) == {1 if enter == HERE.one_thread else 2}
        check_is_clean()


@pytest.fixture(scope="module")
def expected():
    """The bits that each network ends with in the main thread, on its own."""
    kept = HERE.counts()
    HERE._apply([2] * len(kept))
    yield {name: trained(name) for name in NETWORKS}
    HERE._apply(kept)


def test_blas_computes_other_digits_with_other_threads(expected):
    """Without this the tests below would show little."""
    HERE._apply([1] * len(counts()))
    alone = trained("affine")
    HERE._apply([2] * len(counts()))
    if alone == expected["affine"]:
        pytest.skip("this library computes the same digits with one thread and with two")


@given(rows=st.integers(1, 90), columns=st.integers(1, 90), terms=st.integers(1, 8000), seed=st.integers(0, 99))
def test_tiny_products_have_the_same_bits_however_many_threads_blas_has(rows, columns, terms, seed):
    terms = min(terms, (_TINY_PRODUCT - 1) // (rows * columns))
    assume(terms)
    random = np.random.default_rng(seed)
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((rows, terms), (columns, terms)))
    expected = HERE.one_thread(np.matmul, a, b.T)
    np.testing.assert_array_equal(product(a, b.T), expected)
    np.testing.assert_array_equal(product(b, a.T).T, HERE.one_thread(np.matmul, b, a.T).T)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_in_another_thread_gives_the_same_bits(name, expected):
    assert trained(name) == expected[name]
    assert in_another_thread(lambda: trained(name)) == expected[name]


def test_training_in_several_threads_at_once_gives_the_same_bits(expected):
    names = ["affine", "convolving", "affine", "affine"]
    with ThreadPoolExecutor(len(names)) as executor:
        found = [executor.submit(trained, name) for name in names]
        assert trained("affine") == expected["affine"]
        assert [one.result(timeout=120) for one in found] == [expected[name] for name in names]


@pytest.mark.parametrize("outer", NETWORKS)
@pytest.mark.parametrize("inner", NETWORKS)
def test_training_inside_training_gives_the_same_bits(outer, inner, expected):
    found = []

    class TrainsAnother(Callback):
        def step_end(self, trainer):
            if trainer.step == 2:
                found.append(trained(inner))

    assert trained(outer, [TrainsAnother()]) == expected[outer]
    assert found == [expected[inner]]
