"""What ranks tell each other, and that their sums are the same each time."""

import os
import sys
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.distributed.threads import worlds
from xnn.distributed import _leave, end_all_by_errors

sizes = st.integers(1, 5)


@given(size=sizes, length=st.integers(0, 40) | st.integers(9000, 9100), dtype=st.sampled_from(["float32", "float64"]))
def test_a_sum_is_added_up_in_the_order_of_the_ranks(size, length, dtype):
    vectors = np.random.default_rng(length).normal(size=(size, length)).astype(dtype)
    expected = vectors[0].copy()
    for vector in vectors[1:]:
        expected += vector
    for found in worlds(size, lambda world: world.sum(vectors[world.rank])):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == dtype


@given(size=sizes)
def test_a_rank_sends_twice_the_vector_at_most(size):
    def work(world):
        world.sum(np.zeros(100_000, np.float32))
        return world.sent

    for sent in worlds(size, work):
        assert sent <= 2.001 * 400_000 * (size - 1) / size


@given(
    size=sizes,
    shape=st.sampled_from([(), (3,), (2, 3), (0, 3), (99, 100)]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_total_keeps_shape_type_and_device(backend, size, shape, dtype):
    def work(world):
        return world.total(backend.asarray(np.full(shape, 0.1 * (world.rank + 1)), dtype), backend)

    for found in worlds(size, work):
        assert (found.dtype, tuple(found.shape), found.device) == (backend.dtype(dtype), shape, backend.device)
        np.testing.assert_allclose(backend.to_numpy(found), 0.05 * size * (size + 1), rtol=1e-6)


@given(size=sizes, lengths=st.lists(st.integers(0, 5), min_size=5, max_size=5))
def test_vectors_of_different_lengths_are_exchanged_and_joined(size, lengths):
    def work(world):
        own = np.repeat(10.0 * world.rank + np.arange(size), lengths[:size])
        return world.exchanged(own, lengths[:size]), world.joined(
            np.full(lengths[world.rank], world.rank), lengths[:size]
        )

    for rank, (received, joined) in enumerate(worlds(size, work)):
        expected = np.repeat(10.0 * np.arange(size) + rank, lengths[rank]).reshape(size, lengths[rank])
        np.testing.assert_array_equal(received, expected)
        np.testing.assert_array_equal(joined, np.repeat(np.arange(size), lengths[:size]))


@given(size=st.integers(2, 5), odd=st.integers(0, 4))
def test_all_learn_whether_they_agree(size, odd):
    assert set(worlds(size, lambda world: world.agrees(b"settings" * 20))) == {True}
    different = worlds(size, lambda world: world.agrees(b"odd" if world.rank == odd % size else b"even"))
    assert set(different) == {False}


def test_a_message_goes_from_the_first_to_all():
    assert worlds(3, lambda world: world.broadcast(b"rank %d" % world.rank)) == [b"rank 0"] * 3


@given(size=st.integers(2, 5), odd=st.integers(1, 4))
def test_all_learn_in_what_one_differs(size, odd):
    odd = 1 + odd % (size - 1) if size > 2 else 1
    assert worlds(size, lambda world: world.difference({"seed": 1, "shape": [2, 3]})) == [None] * size

    def work(world):
        return world.difference({"seed": 1, "shape": [2, 3 + (world.rank == odd)], "rate": 0.1 * (world.rank == odd)})

    assert worlds(size, work) == [f"rank {odd} has shape 2,4, rank 0 has 2,3, and 1 more"] * size


def test_an_error_that_nobody_catches_is_printed_before_all_ranks_end(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: seen.append(error))
    error = ValueError("enough")
    end_all_by_errors(SimpleNamespace(size=1, abort=seen.append))
    sys.excepthook(ValueError, error, None)
    assert seen == [(ValueError, error, None)]
    end_all_by_errors(SimpleNamespace(size=2, abort=seen.append))
    sys.excepthook(ValueError, error, None)
    assert seen == [(ValueError, error, None)] * 2 + [1]


def test_the_end_of_a_forked_child_is_not_that_of_its_rank(monkeypatch):
    seen, rank = [], os.getpid()
    world = SimpleNamespace(size=2, abort=lambda code: seen.append("abort"), leave=lambda: seen.append("leave"))
    monkeypatch.setattr(sys, "excepthook", lambda *error: seen.append("printed"))
    end_all_by_errors(world)

    def end():
        sys.excepthook(ValueError, ValueError("enough"), None)
        _leave(world, rank)

    end()
    monkeypatch.setattr(os, "getpid", lambda: rank + 1)
    end()
    assert seen == ["printed", "abort", "leave", "printed"]
