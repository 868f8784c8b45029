"""The exponential moving average of a model's weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.optim.flat import FlatModel
from xnn import kernels
from xnn.backends import backend as make_backend
from xnn.optim import ExponentialMovingAverage

# Devices may flush subnormal numbers to zero.
VALUES = arrays(np.float32, st.integers(0, 9), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False))
DECAY = st.sampled_from([0.0, 0.5, 0.9, 0.999])


def assign(model, values, buffers=None):
    model.parameters.flat[...] = model.backend.asarray(np.array(values, dtype=model.dtype))
    if buffers is not None:
        model.buffers.flat[...] = model.backend.asarray(np.array(buffers, dtype=model.dtype))


def on_host(ema):
    return [np.array(ema.model.backend.to_numpy(vector)) for vector in ema.average]


@given(values=VALUES, decay=DECAY, steps=st.integers(1, 20))
def test_the_average_of_a_constant_is_that_constant(backend, values, decay, steps):
    model = FlatModel(backend, values, [len(values)], dtype="float32")
    ema = ExponentialMovingAverage(model, decay)
    for _ in range(steps):
        ema.update()
    parameters, buffers = on_host(ema)
    np.testing.assert_array_equal(parameters, values)
    np.testing.assert_array_equal(buffers, [0.0, 1.0])
    assert ema.steps == steps


@given(decay=DECAY, seed=st.integers(0, 2**32 - 1))
def test_equals_its_formula_and_torch(backend, decay, seed):
    rng = np.random.default_rng(seed)
    path = rng.normal(size=(12, 5))
    buffer_path = rng.normal(size=(12, 2))
    model = FlatModel(backend, rng.normal(size=5), [2, 3], trainable=[True, False])
    ema = ExponentialMovingAverage(model, decay)
    for values, buffers in zip(path, buffer_path, strict=True):
        assign(model, values, buffers)
        ema.update()

    # Unrolled: the first weights keep decay^11, the k-th later ones get (1 - decay) decay^(11 - k).
    ages = np.arange(11, -1, -1.0)
    weights = decay**ages * np.where(ages == 11, 1.0, 1.0 - decay)
    np.testing.assert_allclose(on_host(ema)[0], weights @ path, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(on_host(ema)[1], weights @ buffer_path, rtol=1e-9, atol=1e-12)

    swa_utils = pytest.importorskip("torch.optim.swa_utils")
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Linear(5, 1, bias=False, dtype=torch.float64)
    averaged = swa_utils.AveragedModel(theirs, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(decay))
    for values in path:
        theirs.weight.data[...] = torch.asarray(values)
        averaged.update_parameters(theirs)
    np.testing.assert_allclose(on_host(ema)[0], averaged.module.weight.detach().numpy()[0], rtol=1e-9, atol=1e-12)


@given(values=VALUES, seed=st.integers(0, 2**32 - 1))
def test_applied_swaps_in_and_restores_bitwise(backend, values, seed):
    model = FlatModel(backend, values, [len(values)], dtype="float32")
    ema = ExponentialMovingAverage(model, 0.9)
    ema.update()
    later = np.random.default_rng(seed).normal(size=len(values)).astype(np.float32)
    assign(model, later, [5.0, 6.0])
    averages = on_host(ema)
    with ema.applied():
        np.testing.assert_array_equal(model.parameters_on_host(), averages[0])
        np.testing.assert_array_equal(model.buffers_on_host(), averages[1])
        with ema.applied():
            assign(model, np.zeros(len(values)))
        np.testing.assert_array_equal(model.parameters_on_host(), averages[0])
    np.testing.assert_array_equal(model.parameters_on_host(), later)
    np.testing.assert_array_equal(model.buffers_on_host(), [5.0, 6.0])
    np.testing.assert_array_equal(on_host(ema)[0], averages[0])


def test_applied_restores_after_an_error(backend):
    model = FlatModel(backend, np.ones(3), [3])
    ema = ExponentialMovingAverage(model, 0.9)
    assign(model, np.full(3, 2.0))
    with pytest.raises(KeyError), ema.applied():
        raise KeyError
    np.testing.assert_array_equal(model.parameters_on_host(), np.full(3, 2.0))


def test_the_average_is_not_a_view_of_the_model(backend):
    model = FlatModel(backend, np.ones(3), [3])
    ema = ExponentialMovingAverage(model, 0.9)
    assign(model, np.zeros(3))
    np.testing.assert_array_equal(on_host(ema)[0], np.ones(3))
    ema.update()
    np.testing.assert_array_equal(on_host(ema)[0], np.zeros(3))
    assign(model, np.ones(3))
    np.testing.assert_array_equal(on_host(ema)[0], np.zeros(3))


def test_a_restored_average_continues_bit_for_bit(backend):
    path = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    model = FlatModel(backend, path[0], [4], dtype="float32")
    ema = ExponentialMovingAverage(model, 0.9)
    for values in path[:4]:
        assign(model, values)
        ema.update()
    state = ema.state_dict()
    other = ExponentialMovingAverage(FlatModel(backend, np.zeros(4), [4], dtype="float32"), 0.9)
    other.load_state_dict(state)
    assert other.steps == 4
    for each in (ema, other):
        for values in path[4:]:
            assign(each.model, values)
            each.update()
    np.testing.assert_array_equal(on_host(other)[0], on_host(ema)[0])
    with pytest.raises(ValueError, match="slot 'parameters' has shape"):
        ExponentialMovingAverage(FlatModel(backend, np.zeros(5), [5]), 0.9).load_state_dict(state)


def test_a_model_without_buffers_will_do(backend):
    model = FlatModel(backend, np.ones(2), [2], buffer_values=())
    ema = ExponentialMovingAverage(model, 0.9)
    ema.update()
    ema.update()
    with ema.applied():
        assert model.buffers_on_host().shape == (0,)


def test_a_single_pass_moves_it_where_there_is_one(monkeypatch):
    asked, moved = [], []
    move = lambda average, weights, share: moved.append((average.copy(), weights.copy(), share))  # noqa: E731 - one line
    monkeypatch.setattr(kernels, "single_pass", lambda *what: asked.append(what) or move)
    model = FlatModel(make_backend("numpy"), np.ones(2), [2])
    average = ExponentialMovingAverage(model, 0.75)
    for value in (1.0, 3.0):
        model.parameters.flat[...] = value
        average.update()
    assert asked == [(model.backend, "float64", "move_average")]
    assert str(moved) == str([(np.ones(2), np.full(2, 3.0), 0.25), (np.array([0.0, 1.0]),) * 2 + (0.25,)])


def test_nothing_is_read_back_to_the_host(device_without_host_reads):
    model = FlatModel(device_without_host_reads, np.ones(3), [3])
    ema = ExponentialMovingAverage(model, 0.9)
    ema.update()
    ema.update()
    with ema.applied():
        pass


@pytest.mark.parametrize("bad", [1.0, 1, -0.1, float("nan"), True, "0.9", None])
def test_a_bad_decay_is_named(bad):
    model = FlatModel(make_backend("numpy"), np.ones(2), [2])
    with pytest.raises(ValueError, match=r"^decay must be") as caught:
        ExponentialMovingAverage(model, bad)
    assert repr(bad) in str(caught.value)
