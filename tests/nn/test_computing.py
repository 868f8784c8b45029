"""A model enters the context that its functions compute in by itself, if it needs it and nobody has."""

import threading

import numpy as np
import pytest

from xnn import functional as F
from xnn import kernels, nn
from xnn.backends import backend as make_backend

pytest.importorskip("numba")
from xnn.kernels.numpy.threads import threads


class Looking(nn.Layer):
    """The identity, which notes whether BLAS is held, and whose functions serve a loss."""

    def __init__(self):
        self.seen = []

    def forward(self, x, train=False):
        self.look(x)

        def pullback(dy, input_gradient=True):
            self.look(dy)
            return dy

        return x, pullback

    def look(self, x):
        self.seen.append((bool(threads().blas._holds), kernels.functions_of(x) is self.functions))


def built(**options):
    model = nn.Sequential(nn.Conv2d(3, 1), Looking(), nn.Flatten(), nn.Linear(2))
    return model.build((1, 1, 3), backend=make_backend("numpy", **options)), np.ones((4, 1, 1, 3), np.float32)


def test_each_call_from_outside_enters_it():
    model, x = built(twins=True)
    y, pullback = model.forward(x, train=True)
    assert not threads().blas._holds
    pullback(np.ones_like(y))
    model(x)
    assert model[1].seen == [(True, True)] * 3
    assert not threads().blas._holds


def test_a_pullback_called_inside_it_does_not_enter_it_again():
    model, x = built(twins=True)
    y, pullback = model.forward(x, train=True)
    with model.computing():
        holds = set(threads().blas._holds)
        pullback(np.ones_like(y))
        assert set(threads().blas._holds) == holds
    assert model[1].seen == [(True, True)] * 2


def test_without_convolutions_a_call_needs_no_context():
    model = nn.Sequential(nn.Linear(3), Looking(), nn.Linear(2)).build((3,), backend=make_backend("numpy", twins=True))
    y, pullback = model.forward(np.ones((4, 3), np.float32), train=True)
    pullback(np.ones_like(y))
    assert [is_held for is_held, _ in model[1].seen] == [False] * 2


def test_calls_inside_it_do_not_enter_it_again():
    model, x = built(twins=True)
    with model.computing():
        holds = set(threads().blas._holds)
        y, pullback = model.forward(x, train=True)
        pullback(np.ones_like(y))
        assert set(threads().blas._holds) == holds
    assert model[1].seen == [(True, True)] * 2


def test_models_in_one_another_each_have_their_own(monkeypatch):
    monkeypatch.setenv("XNN_TWINS", "1")
    (model, x), (other, _) = built(twins=True), built(twins=False)
    with model.computing():
        assert kernels.functions_of(x) is model.functions
        with other.computing():
            assert kernels.functions_of(x).relu is F.relu
        assert kernels.functions_of(x) is model.functions
    assert kernels.functions_of(x) is not other.functions


def test_an_error_leaves_it():
    model, x = built(twins=True)
    with pytest.raises(ValueError, match="does not fit"):
        model(x[..., :2])
    assert not threads().blas._holds
    assert model._computing.is_needed


def test_it_is_the_threads_own():
    model, _ = built(twins=True)
    with model.computing():
        found = []
        thread = threading.Thread(target=lambda: found.append(model._computing.is_needed))
        thread.start()
        thread.join()
    assert found == [True]


def test_a_loss_computes_as_its_model_does():
    model, x = built(twins=False)
    labels = np.zeros(4, int)
    with model.computing():
        loss, _ = nn.SoftmaxCrossEntropy().forward(model(x), labels)
    np.testing.assert_array_equal(loss, F.softmax_cross_entropy(model(x), labels)[0])


def test_contexts_may_be_left_in_another_order():
    def entering(model):
        with model.computing():
            yield

    (model, x), (other, _) = built(twins=True), built(twins=False)
    first, second = entering(model), entering(other)
    next(first)
    next(second)
    first.close()
    assert kernels.functions_of(x) is other.functions
    second.close()
    assert kernels._current.entered == []
