"""A model's outputs for many inputs at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn import nn
from xnn.testing.strategies import networks


def small(backend="numpy", dtype="float32"):
    layers = nn.Conv2d(3, 2), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.5), nn.GlobalMaxPool2d(), nn.Linear(4)
    return nn.Sequential(*layers).build((5, 4, 1), backend=backend, dtype=dtype)


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 5, 4, 1), dtype=np.uint8)


@given(case=networks(smooth=False), count=st.integers(1, 7), batch_size=st.integers(1, 9))
def test_the_outputs_are_those_of_one_call(backend, case, count, batch_size):
    network, shape = case
    model = network.build(shape, backend=backend, dtype="float64")
    x = np.random.default_rng(count).standard_normal((count, *shape))
    expected = backend.to_numpy(model(backend.asarray(x)))
    np.testing.assert_allclose(model.predict(x, batch_size), expected, rtol=1e-9, atol=1e-10)


def test_arrays_come_back_where_they_came_from(backend):
    model, x = small(backend), images(3).astype("float32")
    own = model.predict(backend.asarray(x))
    assert type(own) is type(model.parameters.flat)
    for given_on_the_host in (x, x.tolist()):
        found = model.predict(given_on_the_host)
        assert type(found) is np.ndarray
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, backend.to_numpy(own))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "bool"])
def test_numbers_are_cast_to_the_model_s_dtype_and_nothing_else(backend, dtype):
    model, x = small(backend), images(3).astype(dtype)
    expected = backend.to_numpy(model(backend.asarray(x.astype("float32"))))
    np.testing.assert_array_equal(model.predict(x), expected)


def test_memory_is_bounded_by_the_batch(monkeypatch):
    model, seen = small(), []
    monkeypatch.setattr(type(model), "__call__", lambda self, x: (seen.append(x.shape[0]), self.forward(x)[0])[1])
    assert model.predict(images(10), batch_size=4).shape == (10, 4)
    assert seen == [4, 4, 2]


def test_nothing_has_no_outputs(backend):
    found = small(backend).predict(np.zeros((0, 5, 4, 1)))
    assert (found.shape, found.dtype) == ((0, 4), np.float32)


def test_images_of_another_size_are_taken_where_the_model_takes_them():
    assert small().predict(np.zeros((2, 9, 9, 1))).shape == (2, 4)


def test_it_is_inference_and_changes_nothing():
    model = small()
    before = model.state_dict()
    model.predict(images(5))
    assert model.random.counter == 0
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_it_enters_the_context_once(monkeypatch):
    model, entered = small(), []
    entering = model._computing.entered
    monkeypatch.setattr(model._computing, "entered", lambda: (entered.append(1), entering())[1])
    model.predict(images(10), batch_size=3)
    assert entered == [1]


def test_probabilities_are_the_softmax(backend):
    model, x = small(backend, "float64"), images(6)
    found = model.predict_proba(x, batch_size=4)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(found, F.softmax(model.predict(x))[0])


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (nn.Softmax(), r"the model ends in Softmax\(\) already: take predict"),
        (nn.LogSoftmax(), r"the model ends in LogSoftmax\(\) already"),
        (nn.Linear(1), r"two or more classes, not outputs of shape \(1,\): take predict"),
    ],
)
def test_probabilities_that_would_be_wrong_are_refused(last, message):
    model = nn.Sequential(nn.Linear(3), nn.Sequential(nn.ReLU(), last)).build((2,), backend="numpy")
    with pytest.raises(ValueError, match=message):
        model.predict_proba(np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            np.zeros((5, 4, 1)),
            ValueError,
            r"takes a batch, not a single input of shape \(5, 4, 1\): give x\[None, \.\.\.\]",
        ),
        (np.zeros((2, 20)), ValueError, r"takes arrays of shape \(n, 5, 4, 1\), not \(2, 20\)"),
        (np.full((1, 5, 4, 1), "a"), TypeError, "takes numbers, not an array of <U1"),
        (np.zeros((1, 5, 4, 1), complex), TypeError, "takes numbers, not an array of complex128"),
    ],
)
def test_what_is_no_batch_of_numbers_is_named(x, error, message):
    with pytest.raises(error, match=message):
        small().predict(x)


def test_a_batch_size_is_a_count():
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, not 0"):
        small().predict(images(1), batch_size=0)
