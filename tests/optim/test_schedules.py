"""Learning-rate schedules: their shapes, ends and warm-ups."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xnn.optim import Constant, Cosine, Linear, OneCycle, Step

LR = st.floats(1e-6, 10.0)
# Cheap examples, in a space with many corners.
MANY = settings(max_examples=8 * settings().max_examples)
WARMED_UP = ("constant", "step", "cosine", "linear")


@st.composite
def schedules(draw, kinds=(*WARMED_UP, "onecycle")):
    """Draw a schedule and the number of steps to look at."""
    lr = draw(LR)
    total = draw(st.integers(1, 300))
    warmup = draw(st.integers(0, total - 1))
    kind = draw(st.sampled_from(kinds))
    if kind == "constant":
        return Constant(lr, warmup_steps=warmup), total
    if kind == "step":
        return Step(lr, draw(st.integers(1, 100)), draw(st.floats(0.1, 0.9)), warmup_steps=warmup), total
    if kind == "onecycle":
        annealing = draw(st.sampled_from(["cosine", "linear"]))
        return OneCycle(lr, total, draw(st.floats(0.1, 0.9)), annealing=annealing, warmup_steps=warmup), total
    final = draw(st.sampled_from([0.0, 0.1, 1.0])) * lr
    return {"cosine": Cosine, "linear": Linear}[kind](lr, total, final, warmup_steps=warmup), total


@given(drawn=schedules())
@MANY
def test_positive_and_at_most_lr_while_training(drawn):
    schedule, total = drawn
    rates = [schedule(step) for step in range(total)]
    assert all(0.0 < rate <= schedule.lr * (1 + 1e-15) for rate in rates)
    assert rates == [schedule(step) for step in range(total)]


@given(drawn=schedules(WARMED_UP))
@MANY
def test_warm_up_is_linear_and_reaches_lr(drawn):
    schedule, _ = drawn
    warmup = schedule.warmup_steps
    for step in range(warmup):
        assert schedule(step) == pytest.approx(schedule.lr * (step + 1) / warmup, rel=1e-15)
    assert schedule(warmup) == schedule.lr
    if warmup:
        assert schedule(warmup - 1) == schedule.lr


@given(drawn=schedules())
@MANY
def test_continuous_where_it_says_so(drawn):
    schedule, total = drawn
    if not schedule.continuous:
        assert isinstance(schedule, Step)
        return
    if isinstance(schedule, OneCycle):
        peak = (schedule.warmup_steps or schedule.rise * total) - 1
        # A phase without a whole step in it is a jump by nature.
        assume(peak >= 1 and total - 1 - peak >= 1)
        phases = (peak, total - 1 - peak)
    else:
        phases = (schedule.warmup_steps or math.inf, total - schedule.warmup_steps)
    # No slope is steeper than a cosine's over the shortest phase.
    bound = schedule.lr * math.pi / 2 / min(phases)
    rates = [schedule(step) for step in range(total + 3)]
    assert all(abs(b - a) <= bound * (1 + 1e-9) for a, b in itertools.pairwise(rates))


@given(drawn=schedules(("cosine", "linear", "onecycle")), beyond=st.integers(0, 1000))
@MANY
def test_ends_at_its_final_value_and_stays(drawn, beyond):
    schedule, total = drawn
    final = schedule.lr / 25.0 / 1e4 if isinstance(schedule, OneCycle) else schedule.final
    assert schedule(total + beyond) == pytest.approx(final, rel=1e-12, abs=0.0)
    if isinstance(schedule, OneCycle) and total > schedule.warmup_steps + 1 and schedule.rise * total < total - 1:
        assert schedule(total - 1) == pytest.approx(final, rel=1e-9)


def test_a_very_long_cosine_stays_positive():
    total = 10**12
    assert 0.0 < Cosine(0.1, total)(total - 1) < Cosine(0.1, total)(total - 2)


def test_values_known_by_heart():
    assert [Step(1.0, 2, 0.5, warmup_steps=2)(step) for step in range(8)] == [0.5, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    assert [Linear(1.0, 6, 0.5, warmup_steps=2)(step) for step in range(8)] == [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.5]
    assert Cosine(2.0, 10)(5) == pytest.approx(1.0, rel=1e-15)
    assert Cosine(2.0, 9)(3) == pytest.approx(1.5, rel=1e-15)
    assert [Constant(0.3, warmup_steps=3)(step) for step in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.3])
    # Up over steps 0 to 2 in a straight line, down over steps 2 to 6.
    cycle = OneCycle(1.0, 7, div_factor=2.0, final_div_factor=5.0, annealing="linear", warmup_steps=3)
    assert [cycle(step) for step in range(8)] == pytest.approx([0.5, 0.75, 1.0, 0.775, 0.55, 0.325, 0.1, 0.1])
    assert OneCycle(1.0, 1)(0) == 1.0
    # Factors of 1 are the least: they leave nothing to rise from, or to fall to.
    assert {OneCycle(0.5, 9, div_factor=1, final_div_factor=1)(step) for step in range(12)} == {0.5}


def torch_rates(make, lr, steps):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@given(lr=LR, total=st.integers(10, 120), rise=st.floats(0.2, 0.8), annealing=st.sampled_from(["cosine", "linear"]))
def test_one_cycle_equals_torch(lr, total, rise, annealing):
    theirs = torch_rates(
        lambda schedulers, optimizer: schedulers.OneCycleLR(
            optimizer, lr, total, pct_start=rise, anneal_strategy=annealing[:6].replace("cosine", "cos")
        ),
        lr,
        total - 1,
    )
    ours = OneCycle(lr, total, rise, annealing=annealing)
    assert [ours(step) for step in range(total - 1)] == pytest.approx(theirs, rel=1e-9, abs=1e-15)


@given(lr=LR, total=st.integers(2, 60), final=st.sampled_from([0.0, 0.25]), every=st.integers(1, 20))
def test_the_others_equal_torch(lr, total, final, every):
    pairs = [
        (Cosine(lr, total, final * lr), lambda s, o: s.CosineAnnealingLR(o, total, final * lr)),
        (Linear(lr, total, final * lr), lambda s, o: s.LinearLR(o, 1.0, final, total)),
        (Step(lr, every, 0.3), lambda s, o: s.StepLR(o, every, 0.3)),
    ]
    for ours, make in pairs:
        theirs = torch_rates(make, lr, total)
        assert [ours(step) for step in range(total)] == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_schedules_are_values():
    schedule = Cosine(0.1, 100, warmup_steps=5)
    assert schedule == Cosine(0.1, 100, warmup_steps=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.lr = 1.0
    with pytest.raises(ValueError, match="step must be at least 0, not -1"):
        schedule(-1)


BAD_NUMBERS = [True, "0.1", None, float("nan"), float("inf"), -0.1]
BAD_COUNTS = [True, "3", None, 2.0, float("nan"), -1]
GOOD = {
    Constant: {"lr": 0.1},
    Step: {"lr": 0.1, "every": 10},
    Cosine: {"lr": 0.1, "total_steps": 10},
    Linear: {"lr": 0.1, "total_steps": 10},
    OneCycle: {"lr": 0.1, "total_steps": 10},
}
BAD = [
    *((kind, "lr", bad) for kind in GOOD for bad in [*BAD_NUMBERS, 0, 0.0]),
    *((kind, "warmup_steps", bad) for kind in GOOD for bad in BAD_COUNTS),
    *((kind, "total_steps", bad) for kind in (Cosine, Linear, OneCycle) for bad in [*BAD_COUNTS, 0]),
    *((kind, "warmup_steps", bad) for kind in (Cosine, Linear, OneCycle) for bad in [10, 11]),
    *((kind, "final", bad) for kind in (Cosine, Linear) for bad in [*BAD_NUMBERS, 0.2]),
    *((Step, "every", bad) for bad in [*BAD_COUNTS, 0]),
    *((Step, "factor", bad) for bad in [*BAD_NUMBERS, 0, 1.0, 2]),
    *((OneCycle, "rise", bad) for bad in [*BAD_NUMBERS, 0.0, 1.0]),
    *((OneCycle, name, bad) for name in ("div_factor", "final_div_factor") for bad in [*BAD_NUMBERS, 0, 0.5]),
    *((OneCycle, "annealing", bad) for bad in ["cos", None, 1]),
]


@pytest.mark.parametrize(("kind", "name", "bad"), BAD)
def test_a_bad_parameter_is_named(kind, name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be") as caught:
        kind(**{**GOOD[kind], name: bad})
    assert repr(bad) in str(caught.value)
    if name in ("factor", "rise"):
        assert str(caught.value) == f"{name} must be a number above 0 and below 1, not {bad!r}"
