import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn import functional as F
from xnn import nn
from xnn.testing import check_layer


class Counting(nn.Layer):
    """The identity, which notes for each way back whether its input's gradient was asked for."""

    def __init__(self):
        self.asked = []

    def forward(self, x, train=False):
        def pullback(dy, input_gradient=True):
            self.asked.append(input_gradient)
            return dy if input_gradient else None

        return x, pullback


def random_x(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


CONTAINERS = {
    "sequential": lambda: nn.Sequential(nn.Linear(3), nn.Tanh(), nn.Linear(2, bias=False)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(3), nn.Tanh()), nn.Sequential(nn.Linear(4))),
    "residual": lambda: nn.Residual(nn.Sequential(nn.Linear(4), nn.Tanh())),
    "residual of nothing to train": lambda: nn.Residual(nn.Tanh()),
    "shortcut": lambda: nn.Residual(nn.Linear(3), nn.Linear(3, bias=False)),
    "parallel": lambda: nn.Parallel(nn.Linear(2), nn.Tanh(), nn.Linear(3)),
    "one branch": lambda: nn.Parallel(nn.Linear(2)),
    "residual in front": lambda: nn.Sequential(nn.Residual(nn.Tanh()), nn.Parallel(nn.Linear(2), nn.Sigmoid())),
    "deep": lambda: nn.Residual(nn.Parallel(nn.Linear(1), nn.Sequential(nn.Linear(3), nn.Residual(nn.Linear(3))))),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_gradients(name, backend):
    check_layer(CONTAINERS[name](), (4,), backend=backend)


def test_sequential_is_one_after_the_other():
    model = nn.Sequential(nn.Linear(3), nn.Tanh(), nn.Linear(2)).build((4,), backend="numpy", dtype="float64")
    x = random_x((5, 4))
    np.testing.assert_array_equal(model(x), model[2](np.tanh(model[0](x))))
    assert len(model) == 3
    assert model.output_shape == (2,)


def test_residual_of_zero_is_the_identity(backend):
    body = nn.Linear(4, weight_initializer=nn.initializers.zeros)
    model = nn.Residual(body).build((4,), backend=backend, dtype="float64")
    x = backend.asarray(random_x((3, 4)))
    y, pullback = model.forward(x, train=True)
    np.testing.assert_array_equal(backend.to_numpy(y), backend.to_numpy(x))
    np.testing.assert_array_equal(backend.to_numpy(pullback(x)), backend.to_numpy(x))


def test_parallel_concatenates_channels():
    model = nn.Parallel(nn.Conv2d(2, 1), nn.MaxPool2d(1), nn.Conv2d(1, 3, padding="same"))
    model.build((4, 5, 3), backend="numpy", dtype="float64")
    x = random_x((2, 4, 5, 3))
    assert model.output_shape == (4, 5, 6)
    np.testing.assert_array_equal(model(x)[..., 2:5], x)
    assert nn.Concatenate is nn.Parallel


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (lambda c: nn.Sequential(c, nn.Linear(2)), []),
        (lambda c: nn.Sequential(nn.Tanh(), c, nn.Linear(2)), []),
        (lambda c: nn.Sequential(nn.Linear(2), c), [True]),
        (lambda c: nn.Sequential(nn.Linear(2), c, nn.Linear(2)), [True]),
        (lambda c: nn.Sequential(nn.Sequential(nn.Tanh(), nn.Sequential(c, nn.Linear(2))), nn.Linear(2)), []),
        (lambda c: nn.Sequential(nn.Sequential(nn.Linear(2)), nn.Sequential(c)), [True]),
        (lambda c: nn.Sequential(nn.Linear(2), nn.Residual(c)), [True]),
        (lambda c: nn.Sequential(nn.Parallel(c, nn.Linear(2)), nn.Linear(2)), [False]),
    ],
)
def test_an_input_gradient_nobody_asks_for_is_not_computed(model, asked):
    counting = Counting()
    built = model(counting).build((3,), backend="numpy", dtype="float64")
    y, pullback = built.forward(random_x((2, 3)), train=True)
    assert pullback(np.ones_like(y), input_gradient=False) is None
    assert counting.asked == asked


def test_the_first_convolution_is_spared_its_input_gradient():
    asked = []

    def watched(*args):
        y, pullback = F.conv2d(*args)

        def noting(dy, needs):
            asked.append(needs)
            return pullback(dy, needs)

        return y, noting

    model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Conv2d(2, 2), nn.Flatten(), nn.Linear(2))
    model.build((6, 6, 1), backend="numpy", dtype="float64")
    model[0]._linked = model[2]._linked = [watched, watched]
    y, pullback = model.forward(random_x((2, 6, 6, 1)), train=True)
    pullback(np.ones_like(y), input_gradient=False)
    assert asked == [(True, True, True), (False, True, True)]


def test_what_lies_before_a_frozen_start_costs_nothing():
    first, second = Counting(), Counting()
    model = nn.Sequential(first, nn.Linear(3), second, nn.Linear(2)).build((3,), backend="numpy", dtype="float64")
    model.freeze("1")
    y, pullback = model.forward(random_x((2, 3)), train=True)
    assert pullback(np.ones_like(y), input_gradient=False) is None
    assert first.asked == second.asked == []
    assert not np.any(model.gradients["1.weight"])
    assert np.any(model.gradients["3.weight"])
    y, pullback = model.forward(random_x((2, 3)), train=True)
    assert pullback(np.ones_like(y)) is not None
    assert first.asked == second.asked == [True]


@given(branches=st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_the_branches_share_the_input_gradient(branches):
    model = nn.Parallel(*(nn.Linear(n) for n in branches)).build((3,), backend="numpy", dtype="float64")
    y, pullback = model.forward(random_x((2, 3)), train=True)
    dy = random_x(y.shape, 1)
    whole = np.concatenate([model.parameters[f"{i}.weight"] for i in range(len(branches))], axis=1)
    np.testing.assert_allclose(pullback(dy), dy @ whole.T, rtol=0, atol=1e-12)


def test_a_layer_used_twice_is_refused():
    shared = nn.Linear(3)
    for model in (
        nn.Sequential(shared, nn.Tanh(), shared),
        nn.Residual(shared, shared),
        nn.Parallel(nn.Sequential(shared), shared),
    ):
        with pytest.raises(ValueError, match=r"layer Linear stands at both '.*' and '.*'; parameters cannot be shared"):
            model.build((3,), backend="numpy")


@pytest.mark.parametrize(
    ("make", "error", "culprit"),
    [
        (nn.Sequential, ValueError, "Sequential: give at least one layer"),
        (nn.Parallel, ValueError, "Parallel: give at least one layer"),
        (lambda: nn.Sequential(nn.ReLU), TypeError, r"Sequential: .* is not a layer; write ReLU\(\), with parentheses"),
        (lambda: nn.Sequential([nn.Linear(2)]), TypeError, r"is not a layer; .* as in Sequential\(\*layers\)"),
        (lambda: nn.Residual(F.relu), TypeError, "Residual: .* is not a layer"),
        (lambda: nn.Residual(nn.Linear(2), F.relu), TypeError, "Residual: .* is not a layer"),
    ],
)
def test_what_is_no_layer_is_named(make, error, culprit):
    with pytest.raises(error, match=culprit):
        make()


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"Residual: the body makes \(2,\) but the shortcut \(3,\) of \(3,\)"):
        nn.Residual(nn.Linear(2)).build((3,), backend="numpy")
    with pytest.raises(ValueError, match=r"Parallel: the branches' outputs .* differ in more than the last axis"):
        nn.Parallel(nn.Conv2d(1, 3), nn.Conv2d(1, 1)).build((5, 5, 1), backend="numpy")


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("input_gradient", [True, False])
def test_a_pullback_of_training_equals_one_of_inference_and_keeps_nothing(name, input_gradient, backend):
    model = CONTAINERS[name]().build((5, 4) if name != "deep" else (4,), backend=backend, dtype="float64")
    x = backend.asarray(random_x((3, *model.input_shape)))
    results = []
    for train in (False, False, True):
        y, pullback = model.forward(x, train)
        dy = backend.asarray(random_x(y.shape, 1))
        dx = pullback(dy, input_gradient)
        results.append([backend.to_numpy(model.gradients.flat, copy=True), dx if dx is None else backend.to_numpy(dx)])
        if not train:
            again = pullback(dy, input_gradient)
            assert (again is None) == (dx is None)
    for found in results[1:]:
        np.testing.assert_array_equal(found[0], results[0][0])
        np.testing.assert_array_equal(found[1], results[0][1])
    if isinstance(model, nn.Sequential):
        with pytest.raises(RuntimeError, match="this pullback was called before"):
            pullback(dy, input_gradient)


def test_a_pullback_of_training_lets_go_of_what_it_has_used():
    kept = []

    class Keeping(nn.Layer):
        def forward(self, x, train=False):
            held = np.zeros(3)
            kept.append(weakref.ref(held))
            return x, lambda dy, input_gradient=True: dy + 0.0 * held.sum()

    class Watching(nn.Layer):
        def forward(self, x, train=False):
            def pullback(dy, input_gradient=True):
                found.append([reference() is None for reference in kept])
                return dy

            return x, pullback

    found = []
    model = nn.Sequential(nn.Linear(2), Watching(), nn.Sequential(Keeping(), Watching(), Keeping()))
    model.build((2,), backend="numpy", dtype="float64")
    for train in (True, False):
        kept.clear()
        y, pullback = model.forward(np.ones((3, 2)), train)
        pullback(y)
    assert found == [[False, True], [True, True], [False, False], [False, False]]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, lambda: nn.GELU("tanh"), nn.Tanh])
@pytest.mark.parametrize("train", [True, False])
def test_layers_computed_together_equal_layers_one_by_one(activation, train, backend):
    def parts():
        yield nn.Linear(4), nn.BatchNorm()
        yield activation(), activation(), nn.BatchNorm(), nn.Linear(3)
        yield (activation(),)

    joined = nn.Sequential(*(layer for part in parts() for layer in part), nn.Linear(2))
    apart = nn.Sequential(*(nn.Sequential(*part) for part in parts()), nn.Linear(2))
    results = []
    for model in (joined, apart):
        model.build((3,), backend=backend, dtype="float64", seed=1)
        # Initial values depend on the names, which differ.
        model.parameters.flat[...] = backend.asarray(random_x(model.parameters.flat.shape, 2))
        y, pullback = model.forward(backend.asarray(random_x((5, 3))), train)
        dx = pullback(backend.asarray(random_x((5, 2), 1)))
        results.append([backend.to_numpy(a) for a in (y, dx, model.gradients.flat, model.buffers.flat)])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("channels", "dtype"), [(2, "float64"), (24, "float32")])
@pytest.mark.parametrize(
    "pool", [{"window": 2}, {"window": (3, 2)}, {"window": 3, "stride": 2}, {"window": 2, "padding": 1}]
)
def test_convolution_and_pooling_together_equal_one_by_one(pool, channels, dtype, train, backend):
    def layers():
        return nn.Conv2d(channels, 3, padding=1), nn.MaxPool2d(**pool), nn.Conv2d(3, 2)

    joined, apart = nn.Sequential(*layers()), nn.Sequential(*(nn.Sequential(layer) for layer in layers()))
    results = []
    for model in (joined, apart):
        model.build((9, 10, channels), backend=backend, dtype=dtype)
        model.parameters.flat[...] = backend.asarray(random_x(model.parameters.flat.shape, 2), dtype=dtype)
        y, pullback = model.forward(backend.asarray(random_x((40, 9, 10, channels)), dtype=dtype), train)
        dx = pullback(backend.asarray(np.ones(y.shape), dtype=dtype))
        results.append([backend.to_numpy(a) for a in (y, dx, model.gradients.flat)])
    rtol = 1e-4 if dtype == "float32" else 1e-12
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def test_a_pullback_that_failed_cannot_be_called_again():
    model = nn.Sequential(nn.Linear(8), nn.Tanh()).build((4,), backend="numpy", dtype="float64")
    _, pullback = model.forward(random_x((3, 4)), train=True)
    with pytest.raises(ValueError, match="broadcast"):
        pullback(random_x((3, 5)))
    with pytest.raises(RuntimeError, match="was called before"):
        pullback(random_x((3, 8)))


@pytest.mark.parametrize("layer", [lambda: nn.Sequential(nn.Linear(2), nn.ReLU()), lambda: nn.Conv2d(2, 1)])
def test_a_model_that_nobody_holds_is_freed_at_once(layer, backend):
    model = nn.Sequential(layer(), nn.Flatten()).build((3, 3, 1), backend=backend)
    model(backend.asarray(np.ones((2, 3, 3, 1), np.float32)))
    held = weakref.ref(model)
    del model
    assert held() is None
