"""The tables by which runs make optimizers and schedules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import nn, optim
from xnn.optim.tables import OPTIMIZERS, SCHEDULES, TAKEN, make_optimizer, takers

RATES, DECAYS, MOMENTA = st.floats(1e-4, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 0.99)


def made(name, backend, decay_all=True, **changes):
    model = nn.Sequential(nn.Linear(3), nn.Linear(2)).build((4,), backend=backend)
    return OPTIMIZERS[name].make(model, decay_all=decay_all, **(OPTIMIZERS[name].settings | changes))


def first(optimizer):
    """The optimizer itself, or that of the first group."""
    return optimizer.optimizers[0] if isinstance(optimizer, optim.Groups) else optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(lr=RATES, weight_decay=DECAYS, momentum=MOMENTA, decay_all=st.booleans())
def test_an_optimizer_is_made_of_its_settings(backend, name, lr, weight_decay, momentum, decay_all):
    taken = {"momentum": momentum} if name in takers("momentum") else {}
    optimizer = first(made(name, backend, decay_all, lr=lr, weight_decay=weight_decay, **taken))
    assert (optimizer.lr, optimizer.weight_decay, optimizer.decay_all) == (lr, weight_decay, decay_all)
    assert all(getattr(optimizer, setting) == value for setting, value in taken.items())
    if name in ("sgd", "muon"):
        assert optimizer.nesterov == (momentum > 0.0)


@given(rates=st.tuples(RATES, RATES, RATES), momentum=MOMENTA, weight_decay=DECAYS, decay_all=st.booleans())
def test_muon_leaves_the_last_layer_and_the_biases_to_sgd(backend, rates, momentum, weight_decay, decay_all):
    own = dict(zip(("lr", "head_lr", "bias_lr"), rates, strict=True)) | {"sgd_momentum": momentum}
    muon, head, rest = made("muon", backend, decay_all, weight_decay=weight_decay, **own).optimizers
    assert (muon.lr, head.lr, rest.lr) == rates
    assert [[entry["name"] for entry in each.model.layout()] for each in (muon, head, rest)] == [
        ["0.weight"],
        ["1.weight"],
        ["0.bias", "1.bias"],
    ]
    for each in (head, rest):
        assert (each.momentum, each.nesterov, each.decay_all) == (momentum, momentum > 0.0, decay_all)
        # A step takes the same share of all.
        assert each.lr * each.weight_decay == pytest.approx(muon.lr * muon.weight_decay)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_factor_slows_all_but_the_last_layer(backend, name):
    model = nn.Sequential(nn.Linear(3), nn.BatchNorm(), nn.Linear(2)).build((4,), backend=backend)
    settings = OPTIMIZERS[name].settings | {"decay_all": False}

    def rates(optimizer):
        parts = getattr(optimizer, "optimizers", [optimizer])
        return {entry["name"]: each.lr for each in parts for entry in each.model.layout()}

    whole, slowed = (rates(make_optimizer(name, model, factor, **settings)) for factor in (1.0, 0.25))
    fast = {"2.weight"} if name == "muon" else {"2.weight", "2.bias"}
    assert slowed == {each: whole[each] * (1.0 if each in fast else 0.25) for each in whole}


def test_muon_takes_its_iterations_and_keeps_the_norm_of_filters_as_told(backend):
    for steps, norm in ((3, "fixed"), (7, "free")):
        muon = first(made("muon", backend, muon_steps=steps, filter_norm=norm))
        assert (muon.iterations, muon.normalize) == (steps, norm == "fixed")


def test_every_public_class_has_a_name():
    def public(base):
        classes = [value for value in vars(optim).values() if isinstance(value, type) and issubclass(value, base)]
        return {value.__name__.lower() for value in classes} - {base.__name__.lower()}

    assert public(optim.Optimizer) == {*OPTIMIZERS, "groups"}
    assert public(optim.Schedule) == {name.replace("-", "") for name in SCHEDULES}


@pytest.mark.parametrize("name", SCHEDULES)
@given(lr=RATES, warmup=st.integers(2, 5), rest=st.integers(5, 30))
def test_a_schedule_rises_first_where_it_is_to_and_falls_then(name, lr, warmup, rest):
    schedule = SCHEDULES[name](lr, warmup + rest, warmup_steps=warmup)
    rates = [schedule(step) for step in range(warmup + rest)]
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[0] < rates[warmup - 1] == max(rates) == pytest.approx(lr)
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert (rates[-1] == rates[warmup]) == (name == "constant")


def test_each_setting_has_its_takers():
    assert takers("lr") == list(OPTIMIZERS)
    assert takers("momentum") == ["sgd", "rmsprop", "muon"]
    assert all(takers(name) for name in TAKEN)
    assert takers("epochs") == []
