"""How long a step should take on many ranks."""

import math
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling_model import Event, Step, Wire, step_seconds
from tests.distributed.threads import worlds
from xnn import nn, optim
from xnn.distributed.mpi_world import MPIWorld
from xnn.distributed.world import CALLS, GRADIENTS
from xnn.training import Trainer

seconds = st.floats(0, 10)
sizes = st.floats(0, 1e9)
wires = st.builds(Wire, st.floats(0, 1), st.floats(1e3, 1e12))


@st.composite
def steps(draw, local=seconds):
    kinds = draw(st.lists(st.sampled_from(["call", "bucket"]), max_size=6))
    times = sorted(draw(st.lists(seconds, min_size=len(kinds) + 1, max_size=len(kinds) + 1)))
    events = [
        Event(kind, at, draw(st.integers(1, 3)), draw(sizes), draw(local) if kind == "bucket" else 0.0)
        for kind, at in zip(kinds, times, strict=False)
    ]
    return Step(times[-1] + draw(seconds), (*events, Event("wait", times[-1])))


at_once = steps(local=st.just(0.0))


@given(step=at_once, wire=wires, ranks=st.integers(1, 2000))
def test_without_others_or_without_delay_a_step_is_what_it_computes(step, wire, ranks):
    assert step_seconds(step, 1, wire) == step.seconds
    assert step_seconds(step, ranks, Wire(0.0, math.inf)) == step.seconds


@given(step=steps(), wire=wires, ranks=st.integers(1, 2000), worse=st.floats(1, 100))
def test_a_slower_wire_makes_no_step_faster(step, wire, ranks, worse):
    before = step_seconds(step, ranks, wire)
    close = 1e-9 * (1.0 + before)
    assert step.seconds <= before + close
    assert step_seconds(step, ranks, Wire(wire.latency * worse, wire.bandwidth)) >= before - close
    assert step_seconds(step, ranks, Wire(wire.latency, wire.bandwidth / worse)) >= before - close
    assert step_seconds(step, ranks + 1, wire) >= before - close or ranks == 1


@given(step=steps(), wire=wires, ranks=st.integers(2, 2000))
def test_buckets_hide_behind_the_pass_and_calls_do_not(step, wire, ranks):
    """The step takes no less than the calls, and no more than if nothing were hidden."""
    calls = sum(wire.seconds(ranks, e.messages, e.bytes) for e in step.events if e.kind == "call")
    buckets = sum(e.local + wire.seconds(ranks, e.messages, e.bytes) for e in step.events if e.kind == "bucket")
    found, close = step_seconds(step, ranks, wire), 1e-9 * (1.0 + step.seconds + calls + buckets)
    assert step.seconds + calls - close <= found <= step.seconds + calls + buckets + close


def test_a_bucket_is_sent_once_the_one_before_has_gone():
    wire, ranks = Wire(1.0, 10.0), 4
    # A message without bytes takes 2 s; the pass fills buckets at 1 s and 2 s, and ends at 4 s.
    step = Step(5.0, (Event("bucket", 1.0, 1), Event("bucket", 2.0, 1, 5.0), Event("wait", 4.0)))
    assert step_seconds(step, ranks, wire) == pytest.approx(1.0 + 2.0 + 2.5 + 1.0)
    late = Step(5.0, (Event("call", 0.5, 1), *step.events))
    assert step_seconds(late, ranks, wire) == pytest.approx(2.0 + 6.5)


@given(first=wires, second=wires, ranks=st.integers(1, 2000), size=sizes)
def test_one_wire_after_another_takes_as_long_as_both(first, second, ranks, size):
    both = first.after(second).seconds(ranks, 3, size)
    assert both == pytest.approx(first.seconds(ranks, 3, size) + second.seconds(ranks, 3, size))
    assert Wire(0.0, math.inf).after(first).seconds(ranks, 3, size) == pytest.approx(first.seconds(ranks, 3, size))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_rank_without_others_notes_what_ranks_send(size):
    """As many messages, and as many bytes as they send on average, or as the one gets that gets most."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    from benchmarks.scaling_trace import Echo, Recorder

    images = 4 * size
    x, labels = np.random.default_rng(0).normal(size=(3 * images, 6)), np.arange(3 * images) % 3

    def second_step(world, note):
        """Return what is noted before and after the second of three steps."""
        layers = [nn.Linear(40), nn.BatchNorm(), nn.Tanh(), nn.Linear(50), nn.Linear(60), nn.Linear(3)]
        model, found = nn.Sequential(*layers).build((6,), backend="numpy", seed=1), []
        hidden, rest = optim.split(model, optim.hidden_matrices(model))
        trainer = Trainer(model, optim.Groups(optim.Muon(hidden, lr=0.1), optim.SGD(rest, lr=0.1)), world=world)
        if isinstance(world, Echo):
            trainer.team.images_a_rank = 4
        trainer.schedule = lambda step: found.append(note()) or 0.1
        trainer.fit((x, labels), epochs=1, batch_size=images)
        return found[1], found[2]

    def sent(world):
        calls = Counter()

        def counted(name, method, channel_at):
            def call(*arguments):
                calls[arguments[channel_at] if len(arguments) > channel_at else CALLS] += 1
                return method(*arguments)

            setattr(world, name, call)

        for name, channel_at in (("gathered", 1), ("exchanged", 2), ("joined", 2)):
            counted(name, getattr(world, name), channel_at)
        before, after = second_step(world, lambda: (Counter(calls), world.sent))
        return after[0] - before[0], after[1] - before[1]

    recorder = Recorder()

    def noted():
        events = list(recorder.events)
        recorder.begin()
        return events

    _, events = second_step(Echo(size, recorder), noted)
    ranks = worlds(size, sent)
    found = {kind: [event for event in events if event["kind"] == kind] for kind in ("call", "bucket", "wait")}
    assert len(found["wait"]) == 2  # for the gradients, and for the matrices
    counts = {CALLS: found["call"], GRADIENTS: found["bucket"]}
    assert [{name: sum(e["messages"] for e in those) for name, those in counts.items()}] * size == [r[0] for r in ranks]
    average = sum(rank[1] for rank in ranks) / size
    assert average * (1 - 1e-9) <= sum(event["bytes"] for event in events) <= 2.0 * average


def test_a_planted_wire_takes_what_the_model_says(monkeypatch):
    """A message that is made of others counts once."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    from benchmarks.scaling_steps import SlowWorld

    slept, world = [], object.__new__(SlowWorld)
    world.rank, world.size, world.wire = 0, 3, Wire(0.5, 100.0)
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(MPIWorld, "_swap", lambda self, received, sent, channel: None)
    monkeypatch.setattr(MPIWorld, "gathered", lambda self, own, channel: own)
    monkeypatch.setattr(MPIWorld, "joined", lambda self, own, lengths, channel: own)
    own = np.zeros(6, np.float32)

    def exchanged(self, own, lengths, channel):
        self._swap({1: own[:2], 2: own[:2]}, {1: own[:1], 2: own[:3]}, channel)

    monkeypatch.setattr(MPIWorld, "exchanged", exchanged)
    world.exchanged(own, [2, 1, 3])
    exchanged(world, own, [2, 1, 3], CALLS)
    world.gathered(own)
    world.joined(own[:2], [2, 1, 3])
    assert slept == [world.wire.seconds(3, 1, size) for size in (16, 16, 48, 16)]
