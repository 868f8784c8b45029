"""Parts of a model and optimizers of them: together they do what each does alone."""

import copy
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.optim.table import OPTIMIZERS
from xnn import nn, optim

SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(sorted(OPTIMIZERS))
NAMES = ("0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias")


def network(backend="numpy", dtype="float64"):
    layers = nn.Linear(3), nn.BatchNorm(), nn.ReLU(), nn.Linear(2)
    return nn.Sequential(*layers).build((4,), backend=backend, seed=1, dtype=dtype)


def by_name(chosen):
    """The rule of those names."""
    return lambda name, shape: name in chosen


def names(part):
    return {entry["name"] for entry in part.layout()}


def train(model, optimizer, gradients, rates=None):
    for number, gradient in enumerate(gradients):
        if rates is not None:
            optimizer.lr = rates[number]
        model.gradients.flat[...] = model.backend.asarray(gradient, dtype=model.dtype)
        optimizer.step()
    return model.state_dict()


def gradients_of(model, steps, seed):
    return np.random.default_rng(seed).normal(size=(steps, model.parameters.flat.shape[0]))


# --- parts ---


@given(
    first=st.sets(st.sampled_from(NAMES)),
    second=st.sets(st.sampled_from(NAMES)),
    frozen=st.sets(st.sampled_from(NAMES)),
    decay_all=st.booleans(),
)
def test_each_parameter_is_in_the_part_of_the_first_rule_that_is_true_of_it(first, second, frozen, decay_all):
    model = network()
    parts = optim.split(model, by_name(first), by_name(second))
    assert [names(part) for part in parts] == [first, second - first, set(NAMES) - first - second]
    for name in frozen:
        model.freeze(name)
    found = np.zeros(model.parameters.flat.shape, int)
    for part in parts:
        runs = part.segments(decay_all)
        assert [(run.start, run.stop) for run in runs] == sorted((run.start, run.stop) for run in runs)
        for run in runs:
            found[run.start : run.stop] += 2 if run.decay else 1
    expected = np.zeros_like(found)
    for run in model.segments(decay_all):
        expected[run.start : run.stop] = 2 if run.decay else 1
    np.testing.assert_array_equal(found, expected)


def test_a_rule_is_asked_with_name_and_shape():
    asked = []
    optim.split(network(), lambda *arguments: asked.append(arguments))
    assert asked[:2] == [("0.weight", (4, 3)), ("0.bias", (3,))]


def test_a_part_has_what_an_optimizer_needs_of_its_model_and_no_more():
    model = network()
    part = optim.split(model, by_name(("0.weight",)))[0]
    for name in ("backend", "dtype", "parameters", "gradients", "buffers"):
        assert getattr(part, name) is getattr(model, name)
    with pytest.raises(AttributeError, match=r"^a part of a model has no attribute 'forward'$"):
        part.forward  # noqa: B018 - to look it up is the test


def test_neighbours_are_one_run():
    model = network()
    weights, rest = optim.split(model, lambda name, shape: len(shape) == 2)
    assert len(weights.segments()) == len(rest.segments()) == 1


@pytest.mark.parametrize("layers", [1, 3])
def test_the_last_layer_is_that_of_the_last_matrix(layers):
    model = nn.Sequential(*[nn.Linear(2) for _ in range(layers)], nn.BatchNorm()).build((2,), backend="numpy")
    assert names(optim.split(model, optim.last_layer(model))[0]) == {f"{layers - 1}.weight", f"{layers - 1}.bias"}
    bare = nn.Linear(2).build((2,), backend="numpy")
    assert names(optim.split(bare, optim.last_layer(bare))[0]) == {"weight", "bias"}


# --- groups ---


@given(kinds=st.tuples(KINDS, KINDS), chosen=st.sets(st.sampled_from(NAMES)), frozen=st.sampled_from(NAMES), seed=SEEDS)
def test_each_group_is_trained_as_by_its_optimizer_alone(backend, kinds, chosen, frozen, seed):
    makers = [OPTIMIZERS[kind] for kind in kinds]
    first, second, together = (network(backend) for _ in range(3))
    gradients = gradients_of(together, 4, seed)
    for model in (first, second, together):
        model.freeze(frozen)
    parts = optim.split(together, by_name(chosen))
    optimizer = optim.Groups(*(make(part, weight_decay=0.1) for make, part in zip(makers, parts, strict=True)))
    found = train(together, optimizer, gradients)
    models = zip((first, second), makers, strict=True)
    alone = [train(model, make(model, weight_decay=0.1), gradients) for model, make in models]
    for name in NAMES:
        np.testing.assert_array_equal(found[name], alone[0 if name in chosen else 1][name])
    assert optimizer.steps == 4


def pair(model, kinds=("momentum", "adam"), rates=(0.2, 0.01)):
    parts = optim.split(model, by_name(NAMES[:2]))
    return optim.Groups(*(OPTIMIZERS[k](part, lr) for k, part, lr in zip(kinds, parts, rates, strict=True)))


def test_the_rates_stay_in_proportion_and_the_first_one_is_exact():
    optimizer = pair(network())
    assert optimizer.lr == 0.2
    for lr in (0.1, 0.07, 0.0, 0.3):
        optimizer.lr = lr
        assert optimizer.lr == optimizer.optimizers[0].lr == lr
        assert optimizer.optimizers[1].lr == pytest.approx(lr / 20)
    with pytest.raises(ValueError, match="lr must be"):
        optimizer.lr = -1.0
    assert optimizer.lr == 0.3


def test_a_slot_of_one_name_is_one_vector():
    optimizer = pair(network(), ("momentum", "nesterov"))
    assert list(optimizer.slots) == ["velocity"]
    for each in optimizer.optimizers:
        assert each.slots["velocity"] is optimizer.slots["velocity"]
    assert set(pair(network()).slots) == {"velocity", "first_moment", "second_moment"}


@given(kinds=st.tuples(KINDS, KINDS), seed=SEEDS)
def test_restored_groups_continue_bit_for_bit(backend, kinds, seed):
    model, other = (network(backend, "float32") for _ in range(2))
    gradients, rates = gradients_of(model, 8, seed), np.linspace(0.2, 0.1, 8)
    optimizer = pair(model, kinds)
    other.load_state_dict(train(model, optimizer, gradients[:4], rates[:4]))
    resumed = pair(other, kinds)
    resumed.load_state_dict(optimizer.state_dict())
    assert [each.steps for each in resumed.optimizers] == [4, 4]
    expected = train(model, optimizer, gradients[4:], rates[4:])
    for name, values in train(other, resumed, gradients[4:], rates[4:]).items():
        np.testing.assert_array_equal(values, expected[name])


def refused(message, make):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make()


def test_groups_that_do_not_make_up_a_model_are_refused():
    model = network()
    weights, rest = optim.split(model, by_name(("0.weight", "3.weight")))
    other = optim.split(network(), by_name(()))[1]
    sgd = lambda part: optim.SGD(part, 0.1)  # noqa: E731 - it says no more under a name of its own
    refused("groups need an optimizer, and there is none", optim.Groups)
    refused("these parameters are in no group: 0.weight, 3.weight", lambda: optim.Groups(sgd(rest)))
    refused(
        "these parameters are in several groups: 0.weight, 3.weight",
        lambda: optim.Groups(sgd(weights), sgd(rest), sgd(weights), sgd(weights)),
    )
    refused("the optimizers' parts must be of one model", lambda: optim.Groups(sgd(weights), sgd(other)))
    old = sgd(weights)
    old.step()
    refused("the optimizers must be new, but one has taken steps", lambda: optim.Groups(sgd(rest), old))
    stopped = sgd(weights)
    stopped.lr = 0.0
    refused("lr must be a finite number above 0, not 0.0", lambda: optim.Groups(stopped, sgd(rest)))


def test_one_optimizer_of_the_whole_model_is_a_group_too():
    alone, grouped = network(), network()
    gradients = gradients_of(alone, 3, 0)
    expected = train(alone, optim.SGD(alone, 0.1), gradients)
    for name, values in train(grouped, optim.Groups(optim.SGD(grouped, 0.1)), gradients).items():
        np.testing.assert_array_equal(values, expected[name])


def test_a_copy_and_a_model_that_is_built_again_are_trained():
    model = nn.Sequential(nn.Linear(3), nn.Linear(2)).build((4,), backend="numpy")
    weights, rest = optim.split(model, lambda name, shape: len(shape) >= 2)
    groups = optim.Groups(optim.SGD(weights, 0.1), optim.SGD(rest, 0.1))
    copied = copy.deepcopy((model, groups))
    model.build((4,), backend="numpy", seed=5)
    for other, trained in ((model, groups), copied):
        before = other.parameters.flat.copy()
        other.gradients.flat[...] = 1.0
        trained.step()
        np.testing.assert_allclose(other.parameters.flat, before - 0.1, rtol=1e-6)
