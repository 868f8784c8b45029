"""The updates of all runs by one launch equal those of `xnn.optim`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")

from tests.optim.flat import FlatModel
from tests.optim.table import OPTIMIZERS, each_optimizer
from xnn import kernels, optim
from xnn.backends import backend as make_backend
from xnn.kernels.cupy import launching

CUPY = make_backend("cupy", twins=True)
REFERENCE = make_backend("cupy", twins=False)

RUNS = st.lists(
    st.tuples(st.sampled_from([0, 1, 7, 64, 300, 2000]), st.booleans(), st.booleans()), min_size=1, max_size=9
)


def train(make, backend, values, gradients, runs, **options):
    """Take a step with each gradient, and return the parameters and slots on the host."""
    lengths, decays, trainable = map(list, zip(*runs, strict=True))
    model = FlatModel(backend, values, lengths, decays, trainable, dtype="float32")
    optimizer = make(model, **options)
    for gradient in gradients:
        model.set_gradients(gradient)
        optimizer.step()
    return {"parameters": model.parameters_on_host(), **optimizer.state_dict()["slots"]}


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, vector in expected.items():
        np.testing.assert_allclose(found[name], vector, rtol=1e-5, atol=1e-6 * np.max(np.abs(vector), initial=0.0))


@each_optimizer
@given(runs=RUNS, weight_decay=st.sampled_from([0.0, 0.1]), decay_all=st.booleans(), seed=st.integers(0, 9))
def test_three_steps_equal_the_reference(make, runs, weight_decay, decay_all, seed):
    values, *gradients = np.random.default_rng(seed).normal(size=(4, sum(run[0] for run in runs)))
    options = {"weight_decay": weight_decay, "decay_all": decay_all}
    found, expected = (train(make, each, values, gradients, runs, **options) for each in (CUPY, REFERENCE))
    assert_close(found, expected)


@each_optimizer
def test_runs_longer_than_the_grid(make, monkeypatch):
    monkeypatch.setattr(launching, "_MOST_BLOCKS", 3)
    runs = [(1000, True, True), (3000, False, True), (3, True, False), (70, True, True)]
    values, *gradients = np.random.default_rng(0).normal(size=(3, sum(run[0] for run in runs)))
    assert_close(*(train(make, each, values, gradients, runs, weight_decay=0.1) for each in (CUPY, REFERENCE)))


VECTORS = {"sgd": 1, "momentum": 2, "nesterov": 2, "adam": 3, "adamw": 3, "rmsprop": 2, "rmsprop-momentum": 3}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_one_launch_that_reads_and_writes_each_number_once(name):
    lengths, trainable = [5, 300, 9, 2], [True, False, True, True]
    model = FlatModel(CUPY, np.zeros(316), lengths, [True, True, False, True], trainable, dtype="float32")
    optimizer, launches = OPTIMIZERS[name](model, weight_decay=0.1), []
    with launching.watched(lambda *launch: launches.append(launch)):
        optimizer.step()
    assert [moved for _, moved in launches] == [4 * (5 + 9 + 2) * (1 + 2 * VECTORS[name])]


def test_a_model_frozen_whole_needs_no_launch():
    model, launches = FlatModel(CUPY, np.ones(3), [3], trainable=[False], dtype="float32"), []
    with launching.watched(lambda *launch: launches.append(launch)):
        optim.Adam(model).step()
    assert launches == []
    np.testing.assert_array_equal(model.parameters_on_host(), np.ones(3))


@pytest.mark.parametrize("name", ["momentum", "rmsprop-momentum"])
def test_momentum_may_be_turned_off(name):
    found = []
    for backend in (CUPY, REFERENCE):
        model = FlatModel(backend, np.ones(3), [3], dtype="float32")
        optimizer = OPTIMIZERS[name](model)
        for momentum in (0.9, 0.0, 0.9):
            optimizer.momentum = momentum
            model.set_gradients(np.ones(3))
            optimizer.step()
        found.append(model.parameters_on_host())
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_each_rule_in_the_registry_has_a_twin_of_its_own():
    model = FlatModel(CUPY, np.zeros(3), [3], dtype="float32")
    rules = {name for name in kernels.twins(CUPY) if name.startswith("xnn.optim.")} - {"xnn.optim.muon.Muon"}
    made = [make(model) for make in OPTIMIZERS.values()]
    twins = {f"{type(each).__module__}.{type(each).__qualname__}": each._apply.func for each in made}
    assert set(twins) == rules
    assert len(set(twins.values())) == len(rules) >= 4
