"""The compiled update rules equal those of `xnn.optim`, whether or not a gradient was written."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.optim.flat import FlatModel
from tests.optim.table import OPTIMIZERS, each_optimizer
from xnn import kernels, optim
from xnn.backends import backend as make_backend
from xnn.kernels.pending import Outer

pytest.importorskip("numba")
from xnn.kernels.numpy import optimizers

NUMPY = make_backend("numpy", twins=True)
WEIGHT_DECAY = st.sampled_from([0.0, 0.1])


def train(make, model, gradients, **options):
    """Take a step with each gradient, and return the parameters and slots."""
    optimizer = make(model, **options)
    for gradient in gradients:
        model.set_gradients(gradient)
        optimizer.step()
    return [model.parameters_on_host(), *optimizer.slots.values()]


@each_optimizer
@given(
    runs=st.lists(st.tuples(st.sampled_from([1, 7, 64, 200_000]), st.booleans()), min_size=1, max_size=3),
    weight_decay=WEIGHT_DECAY,
    seed=st.integers(0, 9),
)
def test_three_steps_equal_the_reference(make, runs, weight_decay, seed):
    lengths, decays = (list(column) for column in zip(*runs, strict=True))
    generator = np.random.default_rng(seed)
    values, *gradients = generator.normal(size=(4, sum(lengths))).astype(np.float32)
    found, expected = (
        train(make, FlatModel(backend, values, lengths, decays, dtype="float32"), gradients, weight_decay=weight_decay)
        for backend in (NUMPY, make_backend("numpy", twins=False))
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.max(np.abs(b)))


class Gradients:
    """Gradients some of which are pending, as those of a layer may be."""

    def __init__(self, vector):
        self.vector, self.pending = vector, []

    @property
    def flat(self):
        for start, stop, gradient in self.pending:
            self.vector[start:stop] = gradient.write().reshape(-1)
        self.pending = []
        return self.vector

    def unread(self):
        return self.vector, self.pending


class PendingModel(FlatModel):
    """Takes gradients as lists, one for each parameter: an array, or one that is not written yet."""

    def __post_init__(self):
        super().__post_init__()
        self.gradients = Gradients(self.gradients.flat)

    def set_gradients(self, gradient):
        self.gradients.pending, stop = [], 0
        for part, length in zip(gradient, self.lengths, strict=True):
            start, stop = stop, stop + length
            if hasattr(part, "write"):
                self.gradients.pending.append((start, stop, part))
            else:
                self.gradients.vector[start:stop] = part


class Other:
    """A pending gradient of a kind that no rule knows."""

    def __init__(self, array):
        self.array = array

    def write(self, place=None):
        return self.array


SHAPES = st.one_of(
    st.tuples(st.just("written"), st.integers(1, 40)),
    st.tuples(st.just("outer"), st.integers(1, 40), st.integers(1, 70)),
    st.tuples(st.just("other"), st.integers(1, 9), st.integers(1, 9)),
)


def gradient_of(kind, shape, generator):
    if kind == "outer":
        return Outer(*(generator.normal(size=size).astype(np.float32) for size in shape))
    array = generator.normal(size=shape).astype(np.float32)
    return array if kind == "written" else Other(array)


@each_optimizer
@given(
    parameters=st.lists(st.tuples(SHAPES, st.booleans(), st.booleans()), min_size=1, max_size=5),
    weight_decay=WEIGHT_DECAY,
    least=st.sampled_from([1, 300, 2**18]),
    seed=st.integers(0, 9),
)
def test_a_pending_gradient_acts_as_the_written_one(make, parameters, weight_decay, least, seed):
    kinds, decays, trainable = zip(*parameters, strict=True)
    lengths, generator = [math.prod(shape) for _, *shape in kinds], np.random.default_rng(seed)
    values = generator.normal(size=sum(lengths)).astype(np.float32)
    steps = [[gradient_of(kind, shape, generator) for kind, *shape in kinds] for _ in range(3)]
    written = [np.concatenate([(g.write() if hasattr(g, "write") else g).ravel() for g in step]) for step in steps]
    flags = list(decays), list(trainable)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizers, "_LEAST", least)
        model = PendingModel(NUMPY, values, lengths, *flags, dtype="float32")
        found = train(make, model, steps, weight_decay=weight_decay)
        plain = FlatModel(NUMPY, values, lengths, *flags, dtype="float32")
        expected = train(make, plain, written, weight_decay=weight_decay)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    has_twin = hasattr(make(plain)._apply, "func")
    # Where no twin took it, it was written.
    starts = np.cumsum([0, *lengths])
    for (kind, *_), is_trained, start, stop in zip(kinds, trainable, starts[:-1], starts[1:], strict=True):
        if kind == "outer" and is_trained and has_twin:
            assert not model.gradients.vector[start:stop].any()
        else:
            np.testing.assert_array_equal(model.gradients.vector[start:stop], written[-1][start:stop])


def test_each_rule_in_the_registry_has_a_twin_of_its_own():
    model = FlatModel(NUMPY, np.zeros(3), [3], dtype="float32")
    rules = {name for name in kernels.twins(NUMPY) if name.startswith("xnn.optim.")}
    made = [make(model) for make in OPTIMIZERS.values()]
    found = {f"{type(each).__module__}.{type(each).__qualname__}": getattr(each._apply, "func", None) for each in made}
    twins = {name: twin for name, twin in found.items() if twin is not None}
    assert set(twins) == rules
    assert len(set(twins.values())) == len(rules) >= 4


def test_an_optimizer_of_the_user_s_own_keeps_its_rule():
    class SGD(optim.SGD):
        def _update(self, parameter, gradient, slots, weight_decay):
            parameter += 1.0

    model = FlatModel(NUMPY, np.zeros(3), [3], dtype="float32")
    SGD(model, 0.1).step()
    np.testing.assert_array_equal(model.parameters_on_host(), np.ones(3))


@pytest.mark.parametrize("name", ["momentum", "rmsprop-momentum"])
def test_momentum_may_be_turned_off(name):
    found = []
    for twins in (True, False):
        model = FlatModel(make_backend("numpy", twins=twins), np.ones(3), [3], dtype="float32")
        optimizer = OPTIMIZERS[name](model)
        for momentum in (0.9, 0.0, 0.9):
            optimizer.momentum = momentum
            model.set_gradients(np.ones(3))
            optimizer.step()
        found.append(model.parameters_on_host())
    np.testing.assert_allclose(*found, rtol=1e-6)
