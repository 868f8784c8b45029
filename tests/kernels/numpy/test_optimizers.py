"""The compiled update rules equal those of `xnn.optim`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.optim.conftest import FlatModel
from xnn import optim
from xnn.backends import backend as make_backend

pytest.importorskip("numba")

RULES = {
    "sgd": lambda model, decay: optim.SGD(model, 0.1, weight_decay=decay),
    "momentum": lambda model, decay: optim.SGD(model, 0.1, momentum=0.9, weight_decay=decay),
    "nesterov": lambda model, decay: optim.SGD(model, 0.1, momentum=0.9, nesterov=True, weight_decay=decay),
    "adam": lambda model, decay: optim.Adam(model, 0.01, weight_decay=decay),
    "adamw": lambda model, decay: optim.AdamW(model, 0.01, betas=(0.8, 0.95), weight_decay=decay),
    "rmsprop": lambda model, decay: optim.RMSprop(model, 0.01, weight_decay=decay),
    "rmsprop-momentum": lambda model, decay: optim.RMSprop(model, 0.01, momentum=0.9, weight_decay=decay),
}


def _train(rule, twins, lengths, decays, weight_decay, seed):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=sum(lengths)).astype(np.float32)
    model = FlatModel(make_backend("numpy", twins=twins), values, lengths, decays, dtype="float32")
    optimizer = RULES[rule](model, weight_decay)
    for _ in range(3):
        model.set_gradients(generator.normal(size=sum(lengths)))
        optimizer.step()
    return [model.parameters_on_host(), *optimizer.slots.values()]


@pytest.mark.parametrize("rule", RULES)
@given(
    runs=st.lists(st.tuples(st.sampled_from([1, 7, 64, 200_000]), st.booleans()), min_size=1, max_size=3),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 9),
)
def test_three_steps_equal_the_reference(rule, runs, weight_decay, seed):
    lengths, decays = (list(column) for column in zip(*runs, strict=True))
    found = _train(rule, True, lengths, decays, weight_decay, seed)
    expected = _train(rule, False, lengths, decays, weight_decay, seed)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.max(np.abs(b)))


def test_each_rule_has_a_twin_of_its_own():
    model = FlatModel(make_backend("numpy", twins=True), np.zeros(3), [3], dtype="float32")
    for make in RULES.values():
        optimizer = make(model, 0.0)
        assert optimizer._apply != optimizer._update


def test_an_optimizer_of_the_user_s_own_keeps_its_rule():
    class SGD(optim.SGD):
        def _update(self, parameter, gradient, slots, weight_decay):
            parameter += 1.0

    model = FlatModel(make_backend("numpy", twins=True), np.zeros(3), [3], dtype="float32")
    SGD(model, 0.1).step()
    np.testing.assert_array_equal(model.parameters_on_host(), np.ones(3))
