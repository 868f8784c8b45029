"""The tables by which runs make optimizers and schedules."""

import pytest

from xnn import nn, optim
from xnn.optim.tables import OPTIMIZERS, SCHEDULES, TAKEN, make_optimizer, takers


def made(name, backend, **changes):
    model = nn.Sequential(nn.Linear(3), nn.Linear(2)).build((4,), backend=backend)
    return OPTIMIZERS[name].make(model, decay_all=True, **(OPTIMIZERS[name].settings | changes))


def first(optimizer):
    """The optimizer itself, or that of the first group."""
    return optimizer.optimizers[0] if isinstance(optimizer, optim.Groups) else optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_made_of_its_settings(backend, name):
    optimizer = first(made(name, backend, lr=0.125, weight_decay=0.25))
    assert (optimizer.lr, optimizer.weight_decay, optimizer.decay_all) == (0.125, 0.25, True)
    if name in takers("momentum"):
        assert first(made(name, backend, momentum=0.5)).momentum == 0.5


def test_muon_leaves_the_last_layer_and_the_biases_to_sgd(backend):
    own = {"lr": 0.5, "head_lr": 0.25, "bias_lr": 0.125, "sgd_momentum": 0.75, "weight_decay": 0.1}
    muon, head, rest = made("muon", backend, **own).optimizers
    assert [each.lr for each in (muon, head, rest)] == [0.5, 0.25, 0.125]
    assert [[entry["name"] for entry in each.model.layout()] for each in (muon, head, rest)] == [
        ["0.weight"],
        ["1.weight"],
        ["0.bias", "1.bias"],
    ]
    for each in (head, rest):
        assert (each.momentum, each.nesterov, each.decay_all) == (0.75, True, True)
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


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_momentum_is_nesterovs_where_there_is_any(backend, name):
    assert first(made(name, backend, momentum=0.5)).nesterov
    assert not first(made(name, backend, momentum=0.0)).nesterov


def test_every_public_class_has_a_name():
    def public(base):
        classes = [value for value in vars(optim).values() if isinstance(value, type) and issubclass(value, base)]
        return {value.__name__.lower() for value in classes} - {base.__name__.lower()}

    assert public(optim.Optimizer) == {*OPTIMIZERS, "groups"}
    assert public(optim.Schedule) == {name.replace("-", "") for name in SCHEDULES}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_rises_first_where_it_is_to_and_falls_then(name):
    schedule = SCHEDULES[name](0.1, 30, warmup_steps=3)
    rates = [schedule(step) for step in range(30)]
    assert rates[0] < rates[2] == max(rates) == pytest.approx(0.1)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert (rates[-1] == rates[3]) == (name == "constant")


def test_each_setting_has_its_takers():
    assert takers("lr") == list(OPTIMIZERS)
    assert takers("momentum") == ["sgd", "rmsprop", "muon"]
    assert all(takers(name) for name in TAKEN)
    assert takers("epochs") == []
