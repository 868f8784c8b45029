"""Clipping of the gradients by their common norm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.optim.flat import FlatModel
from xnn import kernels, nn
from xnn.backends import backend as make_backend
from xnn.optim import clip_gradient_norm

GRADIENTS = arrays(np.float64, st.integers(0, 12), elements=st.floats(-1e3, 1e3))


@given(gradient=GRADIENTS, max_norm=st.floats(1e-3, 1e3), dtype=st.sampled_from(["float32", "float64"]))
def test_the_norm_is_bounded_and_the_direction_kept(backend, gradient, max_norm, dtype):
    cut = len(gradient) // 3
    model = FlatModel(backend, gradient, [cut, len(gradient) - cut], dtype=dtype)
    model.set_gradients(gradient)
    before = model.gradients_on_host().astype(np.float64)
    norm = backend.to_numpy(clip_gradient_norm(model, max_norm))
    after = model.gradients_on_host().astype(np.float64)

    tolerance = 1e-5 if dtype == "float32" else 1e-13
    assert norm.shape == ()
    assert norm.dtype == dtype
    # Squares below the dtype's range are lost, so tiny norms are compared absolutely.
    np.testing.assert_allclose(norm, np.linalg.norm(before), rtol=tolerance, atol=1e-18)
    assert np.linalg.norm(after) <= max_norm * (1 + tolerance)
    if norm <= max_norm:
        np.testing.assert_array_equal(after, before)
    else:
        np.testing.assert_allclose(after, before * (max_norm / norm), rtol=tolerance, atol=1e-30)


def test_equals_torch(backend):
    torch = pytest.importorskip("torch")
    gradient = np.random.default_rng(0).normal(size=20)
    model = FlatModel(backend, gradient, [5, 15])
    model.set_gradients(gradient)
    clip_gradient_norm(model, 0.7)
    parameters = [torch.zeros(5, dtype=torch.float64), torch.zeros(15, dtype=torch.float64)]
    for parameter, part in zip(parameters, np.split(gradient, [5]), strict=True):
        parameter.grad = torch.asarray(part.copy())
    torch.nn.utils.clip_grad_norm_(parameters, 0.7)
    theirs = np.concatenate([parameter.grad.numpy() for parameter in parameters])
    # PyTorch adds 1e-6 to the norm.
    np.testing.assert_allclose(model.gradients_on_host(), theirs, rtol=1e-6)


def test_frozen_parameters_neither_count_nor_change(backend):
    model = FlatModel(backend, np.zeros(4), [2, 2], trainable=[True, False])
    model.set_gradients([3.0, 4.0, 100.0, 100.0])
    assert float(backend.to_numpy(clip_gradient_norm(model, 1.0))) == 5.0
    np.testing.assert_allclose(model.gradients_on_host(), [0.6, 0.8, 100.0, 100.0], rtol=1e-15)


def test_a_model_frozen_whole_has_norm_zero(backend):
    model = FlatModel(backend, np.zeros(4), [4], trainable=[False])
    model.set_gradients(np.ones(4))
    assert float(backend.to_numpy(clip_gradient_norm(model, 1.0))) == 0.0
    np.testing.assert_array_equal(model.gradients_on_host(), np.ones(4))


def test_a_gradient_that_is_not_a_number_is_not_hidden(backend):
    model = FlatModel(backend, np.zeros(3), [3])
    model.set_gradients([1.0, float("nan"), 1.0])
    assert np.isnan(backend.to_numpy(clip_gradient_norm(model, 1.0)))
    assert np.isnan(model.gradients_on_host()).all()


def test_a_single_pass_does_it_where_there_is_one(monkeypatch):
    model, asked = nn.Linear(3).build((2,), backend="numpy"), []
    model.gradients.flat[...] = 1.0
    clip = lambda gradients, max_norm: ([run.tolist() for run in gradients], max_norm)  # noqa: E731 - one line
    monkeypatch.setattr(kernels, "single_pass", lambda *what: asked.append(what) or clip)
    # Weights and biases are one run.
    assert clip_gradient_norm(model, 0.5) == ([[1.0] * 9], 0.5)
    assert asked == [(model.backend, "float32", "clip_norm")]


def test_nothing_is_read_back_to_the_host(device_without_host_reads):
    model = FlatModel(device_without_host_reads, np.zeros(4), [1, 3])
    assert clip_gradient_norm(model, 1.0).device == device_without_host_reads.device


@pytest.mark.parametrize("bad", [0, 0.0, -1.0, float("nan"), float("inf"), True, "1", None])
def test_a_bad_bound_is_named(bad):
    model = FlatModel(make_backend("numpy"), np.ones(2), [2])
    with pytest.raises(ValueError, match=r"^max_norm must be") as caught:
        clip_gradient_norm(model, bad)
    assert repr(bad) in str(caught.value)
