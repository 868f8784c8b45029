"""What `build` makes: flat vectors, views, names, and what a model offers about them."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import nn
from xnn.nn.parameters import Segment
from xnn.testing.strategies import networks


def make_cnn():
    return nn.Sequential(
        nn.Conv2d(4, 3, padding="same"),
        nn.BatchNorm(),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Residual(nn.Conv2d(4, 3, padding="same", bias=False)),
        nn.Flatten(),
        nn.Linear(3),
    )


def built(backend="numpy", seed=0, dtype="float64"):
    return make_cnn().build((6, 6, 2), backend=backend, seed=seed, dtype=dtype)


NAMES = ["0.weight", "0.bias", "1.weight", "1.bias", "4.body.weight", "6.weight", "6.bias"]


def test_sizes_are_inferred_and_names_say_where(backend):
    model = built(backend)
    assert list(model.parameters) == list(model.gradients) == NAMES
    assert list(model.buffers) == ["1.running_mean", "1.running_variance"]
    assert model.output_shape == (3,)
    assert tuple(model.parameters["6.weight"].shape) == (3 * 3 * 4, 3)
    assert len(model.parameters) == 7
    assert "0.weight" in repr(model.parameters)


@given(case=networks(), seed=st.integers(0, 5))
def test_parameters_gradients_and_buffers_are_views_of_flat_vectors(backend, case, seed):
    network, shape = case
    model = network.build(shape, backend=backend, seed=seed, dtype="float64")
    for views in (model.parameters, model.gradients, model.buffers):
        total = views.flat.shape[0]
        assert sum(int(np.prod(view.shape)) for view in views.values()) == total
        views.flat[...] = backend.asarray(np.arange(float(total)))
        seen = np.concatenate([backend.to_numpy(view).ravel() for view in views.values()] or [np.zeros(0)])
        np.testing.assert_array_equal(np.sort(seen), np.arange(total))
        for name, view in views.items():
            start = views.starts[name]
            assert backend.to_numpy(view).ravel()[0] == start
            view[...] = -1.0
        np.testing.assert_array_equal(backend.to_numpy(views.flat), -1.0)


def test_the_flat_vector_is_what_the_layers_compute_with(backend):
    model = built(backend)
    x = backend.asarray(np.random.default_rng(0).standard_normal((2, 6, 6, 2)))
    before = backend.to_numpy(model(x)).copy()
    model.parameters.flat[...] = 0.0
    assert np.any(before)
    assert not np.any(backend.to_numpy(model(x)))


def test_the_layout_is_an_index_of_the_flat_vector():
    model = built()
    layout = json.loads(json.dumps(model.layout()))
    assert [entry["name"] for entry in layout] == NAMES
    for entry in layout:
        size = int(np.prod(entry["shape"]))
        piece = model.parameters.flat[entry["start"] : entry["start"] + size].reshape(entry["shape"])
        np.testing.assert_array_equal(piece, model.parameters[entry["name"]])


# --- the same model everywhere ---


@given(case=networks(), seed=st.integers(0, 2**40))
def test_a_seed_gives_the_same_values_on_every_backend_and_dtype(backends, case, seed):
    network, shape = case
    reference = network.build(shape, backend="numpy", seed=seed, dtype="float64").state_dict()
    for backend in backends:
        for dtype in ("float32", "float64"):
            state = network.build(shape, backend=backend, seed=seed, dtype=dtype).state_dict()
            assert state.keys() == reference.keys()
            for name, value in state.items():
                np.testing.assert_array_equal(value, reference[name].astype(dtype))


def test_another_seed_gives_other_values_and_no_two_parameters_are_alike():
    a, b = built(seed=0), built(seed=1)
    assert np.all(a.parameters["0.weight"] != b.parameters["0.weight"])
    twins = nn.Sequential(nn.Linear(4), nn.Linear(4)).build((4,), backend="numpy")
    assert np.all(twins.parameters["0.weight"] != twins.parameters["1.weight"])


def test_building_again_starts_anew():
    model = built(seed=4)
    first = model.state_dict()
    model.parameters.flat[...] = 7.0
    model.freeze()
    model.build((6, 6, 2), backend="numpy", seed=4, dtype="float64")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, first[name])
    assert model.trainable


def test_gradients_agree_on_all_backends(backends):
    x = np.random.default_rng(0).standard_normal((4, 6, 6, 2))
    dy = np.random.default_rng(1).standard_normal((4, 3))
    found = []
    for backend in backends:
        model = built(backend)
        _, pullback = model.forward(backend.asarray(x), train=True)
        pullback(backend.asarray(dy))
        found.append(np.array(backend.to_numpy(model.gradients.flat)))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-11 * np.abs(found[0]).max())


@pytest.mark.parametrize("device", ["device1", "device2"])
def test_everything_is_on_the_model_s_device(device):
    pytest.importorskip("array_api_strict")
    model = built(f"array_api_strict:{device}", dtype="float32")
    x = model.backend.asarray(np.ones((2, 6, 6, 2)), "float32")
    y, pullback = model.forward(x, train=True)
    loss, loss_pullback = nn.SoftmaxCrossEntropy(0.1).forward(y, model.backend.asarray(np.array([0, 2])))
    penalty, penalty_pullback = nn.L2Penalty(0.1).forward(model)
    total, _ = nn.LossSum().forward(loss, penalty)
    dx = pullback(loss_pullback())
    penalty_pullback()
    for array in (y, total, dx, model.parameters.flat, model.gradients.flat, model.buffers.flat):
        assert array.device == model.backend.device
        assert array.dtype == model.backend.dtype("float32")


# --- frozen parameters and segments ---


def in_segments(model, **options):
    """Return {name: decay} of the parameters that the segments cover, checking that they are covered whole."""
    covered = {}
    for segment in model.segments(**options):
        for entry in model.layout():
            stop = entry["start"] + int(np.prod(entry["shape"]))
            if segment.start < stop and entry["start"] < segment.stop:
                assert segment.start <= entry["start"]
                assert stop <= segment.stop
                covered[entry["name"]] = segment.decay
    return covered


DECAYED = {name: name in ("0.weight", "4.body.weight", "6.weight") for name in NAMES}


def test_segments_cover_what_is_trained_in_as_few_runs_as_possible():
    model = built()
    assert in_segments(model) == DECAYED
    assert len(model.segments()) == 2
    assert model.segments(decay_all=True) == [Segment(0, model.parameters.flat.shape[0], True)]
    assert model.segments()[0].slice == slice(model.segments()[0].start, model.segments()[0].stop)


@given(data=st.data())
def test_segments_follow_what_is_frozen(data):
    model = built()
    frozen = data.draw(st.sets(st.sampled_from(NAMES)))
    for name in frozen:
        model.freeze(name)
    assert in_segments(model) == {name: decay for name, decay in DECAYED.items() if name not in frozen}
    runs = model.segments()
    for a, b in itertools.pairwise(runs):
        assert a.stop < b.start or (a.stop == b.start and a.decay != b.decay)
    assert set(in_segments(model, decay_all=True).values()) <= {True}
    model.unfreeze()
    assert in_segments(model) == DECAYED


@given(data=st.data())
def test_frozen_parameters_get_no_gradient_and_the_others_their_own(data):
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 2))
    model = built()
    y, pullback = model.forward(x, train=True)
    dx = pullback(np.ones_like(y))
    expected = {name: view.copy() for name, view in model.gradients.items()}
    frozen = data.draw(st.sets(st.sampled_from(NAMES)))
    for name in frozen:
        model.freeze(name)
    _, pullback = model.forward(x, train=True)
    np.testing.assert_array_equal(pullback(np.ones_like(y)), dx)
    for name, view in model.gradients.items():
        np.testing.assert_array_equal(view, 0.0 if name in frozen else expected[name])


def test_a_prefix_freezes_what_lies_under_it():
    model = nn.Sequential(nn.Sequential(nn.Linear(2), nn.Linear(2)), *(nn.Linear(2) for _ in range(10)))
    model.build((2,), backend="numpy")
    model.freeze("1")
    assert not model[1].trainable
    assert model[10].trainable
    model.freeze("0.1")
    assert model[0].trainable
    model.freeze("0")
    assert not model[0].trainable
    model.freeze()
    assert not model.trainable
    assert model.segments() == []
    model.unfreeze("10")
    assert model.trainable
    with pytest.raises(ValueError, match=r"no parameter is named '12' or lies under it; there are: 0\.0\.weight"):
        model.freeze("12")


# --- state ---


@given(case=networks(), seed=st.integers(0, 5))
def test_saved_and_loaded_is_the_same_model(backend, case, seed):
    network, shape = case
    model = network.build(shape, backend=backend, seed=seed, dtype="float64")
    x = backend.asarray(np.random.default_rng(seed).standard_normal((3, *shape)))
    model.forward(x, train=True)
    state, y = model.state_dict(), np.array(backend.to_numpy(model(x)))
    model.build(shape, backend=backend, seed=seed + 1, dtype="float64")
    model.load_state_dict(state)
    np.testing.assert_array_equal(backend.to_numpy(model(x)), y)


def test_the_state_is_a_copy(backend):
    model = built(backend)
    state = model.state_dict()
    kept = {name: value.copy() for name, value in state.items()}
    model.parameters.flat[...] = 0.0
    model.buffers.flat[...] = 5.0
    for name, value in state.items():
        assert isinstance(value, np.ndarray)
        np.testing.assert_array_equal(value, kept[name])
