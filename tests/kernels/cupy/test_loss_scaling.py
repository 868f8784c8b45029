"""The loss scaler's passes over memory against those without twins: the same bits, by a launch each."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cupy")


from tests.optim.flat import FlatModel
from xnn import optim
from xnn.backends import backend as make_backend
from xnn.kernels.cupy import launching
from xnn.training import LossScaler, LossScaling

CUPY = make_backend("cupy", twins=True)
REFERENCE = make_backend("cupy", twins=False)


class Steps:
    """Steps of a model with vectors of several lengths, which the test changes instead of an optimizer."""

    def __init__(self, backend, size, scaling):
        self.model = FlatModel(backend, np.ones(size), [size], buffer_values=tuple(range(size % 5)), dtype="float32")
        self.optimizer = optim.Adam(self.model)
        self.average = optim.ExponentialMovingAverage(self.model, 0.5)
        self.scaler = LossScaler(scaling, self.model, self.optimizer, self.average)

    @property
    def vectors(self):
        return [
            self.model.parameters.flat,
            self.model.buffers.flat,
            *self.optimizer.slots.values(),
            *self.average.average,
        ]

    def take(self, gradient, change):
        self.scaler.begin()
        self.model.set_gradients(gradient)
        self.scaler.unscale()
        for vector in self.vectors:
            vector += change
        self.scaler.end()
        return [self.model.gradients_on_host(), *(vector.get() for vector in self.vectors)]


SPOILED = st.lists(st.sampled_from([None, math.nan, math.inf, -math.inf]), min_size=1, max_size=7)


@pytest.mark.races
@given(
    size=st.sampled_from([1, 3, 256, 2000]),
    spoiled=SPOILED,
    initial=st.sampled_from([1.0, 2.0, 2.0**16, 2.0**23]),
    growth_steps=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_the_same_bits_as_the_reference(size, spoiled, initial, growth_steps, seed):
    generator = np.random.default_rng(seed)
    sides = [Steps(backend, size, LossScaling(initial, growth_steps)) for backend in (CUPY, REFERENCE)]
    for value in spoiled:
        gradient = 1000.0 * generator.normal(size=size).astype(np.float32)
        if value is not None:
            gradient[generator.integers(size)] = value
        change = float(generator.integers(9))
        found, expected = (side.take(gradient, change) for side in sides)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
        states = [{**side.scaler.state_dict(), "futile": side.scaler.is_futile} for side in sides]
        assert states[0] == states[1]
        for name in ("scale", "_good", "_skipped", "_futile", "_finite"):
            mine, other = (getattr(side.scaler, name) for side in sides)
            assert (mine.dtype, mine.shape) == (other.dtype, other.shape)


def test_slots_of_any_type_are_restored_whole():
    steps = Steps(CUPY, 600, LossScaling())
    for dtype in ("float64", "int64", "float16"):
        steps.optimizer.slots[dtype] = CUPY.xp.arange(600, dtype=dtype)
    steps.scaler = LossScaler(LossScaling(), steps.model, steps.optimizer, steps.average)
    before = [vector.get() for vector in steps.vectors]
    _, *after = steps.take(np.full(600, math.nan, np.float32), 1)
    for a, b in zip(after, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.races
@pytest.mark.parametrize("position", [0, 3 * 256 - 1, 2500])
def test_one_number_of_many_undoes_the_step(position, monkeypatch):
    # The vectors are longer than the grid.
    monkeypatch.setattr(launching, "_MOST_BLOCKS", 3)
    size = 3000
    steps, gradient = Steps(CUPY, size, LossScaling(2.0)), np.ones(size, np.float32)
    before = [vector.get() for vector in steps.vectors]
    gradient[position] = math.inf
    _, *after = steps.take(gradient, 1.0)
    for a, b in zip(after, before, strict=True):
        np.testing.assert_array_equal(a, b)
    gradient[position] = 1.0
    _, *after = steps.take(gradient, 1.0)
    for a, b in zip(after, before, strict=True):
        np.testing.assert_array_equal(a, b + 1.0)


def test_a_launch_for_each_pass_and_what_it_moves():
    steps, launches = Steps(CUPY, 600, LossScaling()), []
    steps.take(np.ones(600), 1.0)
    numbers = sum(vector.size for vector in steps.vectors)
    assert numbers == 4 * 600
    with launching.watched(lambda *launch: launches.append(launch)):
        steps.scaler.begin()
        steps.scaler.unscale()
        steps.scaler.end()
    # The counts: two of 8 bytes and a scale of 4, read and written, and two flags.
    assert launches == [("keep", 8 * numbers), ("unscale", 8 * 600), ("settle", 2 * (8 + 8 + 4) + 2)]


def test_a_scale_that_was_handed_out_stays():
    steps = Steps(CUPY, 3, LossScaling(8.0))
    scale = steps.scaler.scale
    steps.take(np.full(3, math.nan), 1.0)
    assert (float(scale), float(steps.scaler.scale)) == (8.0, 4.0)
