"""Timing only while the cores are near each other."""

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import core_distance, ping_pong


class Host:
    """Stands in for a host that moves the cores: near at first, then as it is told, then near again."""

    def __init__(self, monkeypatch, distances):
        self.seen = []
        rest = itertools.chain([40.0], distances, itertools.repeat(40.0))
        monkeypatch.setattr(ping_pong, "distance", lambda one, other: self.seen.append(next(rest)) or self.seen[-1])
        monkeypatch.setattr(core_distance, "_PAUSE", 0.0)
        self.cores = core_distance.Cores(2, patience=20)
        self.cores._cores = [0, 1]


@given(distances=st.lists(st.sampled_from([40.0, 80.0, 119.0, 121.0, 400.0]), max_size=19))
def test_a_turn_counts_only_if_the_cores_were_near_before_and_after_it(distances):
    with pytest.MonkeyPatch.context() as monkeypatch:
        host, turns = Host(monkeypatch, distances), []
        # A turn tells how many distances were seen before it.
        counted = host.cores.while_near(lambda: turns.append(len(host.seen)) or turns[-1])
    assert counted == turns[-1] == len(host.seen) - 1
    assert max(host.seen[-2:]) < 120
    # Each turn began with the cores near, and those before the last did not end so.
    assert all(host.seen[turn - 1] < 120 <= host.seen[turn] for turn in turns[:-1])


def test_a_turn_is_taken_at_last_even_if_the_cores_stay_apart(monkeypatch):
    host, turns = Host(monkeypatch, [400.0] * 30), []
    assert host.cores.while_near(lambda: turns.append(1.0) or 2.0) == 2.0
    # One began with the cores near, one is taken in the end.
    assert len(turns) == 2


def test_with_one_thread_no_distance_is_measured(monkeypatch):
    monkeypatch.setattr(ping_pong, "distance", None)
    assert core_distance.Cores(1).while_near(lambda: 3.0) == 3.0


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda pid: [0])(0)) < 2, reason="needs two cores")
def test_a_message_between_cores_takes_time():
    one, other = sorted(os.sched_getaffinity(0))[:2]
    assert 1 < ping_pong.distance(one, other) < 1e6
    # The pinned threads are gone, and the process is where it was.
    assert {one, other} <= os.sched_getaffinity(0)
