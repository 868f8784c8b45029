"""Muon against its own formula in NumPy, against PyTorch's, and by what an orthogonal update promises."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.optim.table import muon
from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.optim.muon import COEFFICIENTS

FEW = settings(max_examples=max(settings().max_examples // 4, 1))
SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(1, 7)
NUMPY = make_backend("numpy")


def network(backend, dtype="float64"):
    """A frozen convolution, two trainable ones, a norm and a last layer."""
    layers = [nn.Conv2d(3, 2, trainable=False), nn.Conv2d(4, 2, bias=False), nn.BatchNorm(scale=False)]
    layers += [nn.Conv2d(5, 1), nn.Flatten(), nn.Linear(3)]
    return nn.Sequential(*layers).build((5, 4, 2), backend=backend, seed=1, dtype=dtype)


def linear(backend, inputs, outputs, dtype="float64"):
    """One matrix and nothing else."""
    return nn.Linear(outputs, bias=False).build((inputs,), backend=backend, seed=1, dtype=dtype)


def gradients_of(model, steps, seed=0):
    return np.random.default_rng(seed).normal(size=(steps, model.parameters.flat.shape[0]))


def train(model, optimizer, gradients):
    for gradient in gradients:
        model.gradients.flat[...] = model.backend.asarray(gradient, dtype=model.dtype)
        optimizer.step()
    return model.backend.to_numpy(model.parameters.flat, copy=True)


def host_orthogonalized(matrix, iterations=5):
    a, b, c = COEFFICIENTS
    x = matrix / np.linalg.norm(matrix)
    for _ in range(iterations):
        # On the singular values alone: another way than the iteration's.
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        x = (u * (a * s + b * s**3 + c * s**5)) @ vt
    return x


def matrix_of(rows, columns, seed):
    """A matrix whose singular values are between 0.2 and 1."""
    rng = np.random.default_rng(seed)
    u, _ = np.linalg.qr(rng.normal(size=(rows, rows)))
    v, _ = np.linalg.qr(rng.normal(size=(columns, columns)))
    count = min(rows, columns)
    return (u[:, :count] * rng.uniform(0.2, 1.0, count)) @ v[:, :count].T


# --- the orthogonal matrix ---


@given(rows=SIDES, columns=SIDES, seed=SEEDS)
def test_singular_values_come_near_one_and_singular_vectors_stay(backend, rows, columns, seed):
    matrix = matrix_of(rows, columns, seed)
    found = backend.to_numpy(optim.orthogonalize(backend.asarray(matrix)))
    np.testing.assert_allclose(found, host_orthogonalized(matrix), rtol=0, atol=1e-9)
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > 0.68
    assert values.max() < 1.14
    # U Sᵀ Vᵀ against U V'ᵀ: their product is symmetric.
    product = matrix.T @ found
    np.testing.assert_allclose(product, product.T, atol=1e-9)


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), seed=SEEDS, digits=st.integers(1, 12))
def test_singular_values_whose_squares_are_lost_in_float32_do_no_harm(rows, columns, seed, digits):
    u, _, vt = np.linalg.svd(np.random.default_rng(seed).normal(size=(rows, columns)), full_matrices=False)
    matrix = ((u * np.logspace(0, -digits, len(vt))) @ vt).astype(np.float32)
    found = optim.orthogonalize(matrix)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, host_orthogonalized(matrix.astype(np.float64)), rtol=0, atol=2e-3)


@given(rows=SIDES, columns=SIDES, seed=SEEDS, iterations=st.integers(1, 7))
def test_the_transposed_matrix_gives_the_transposed_result(backend, rows, columns, seed, iterations):
    matrix = np.random.default_rng(seed).normal(size=(rows, columns))
    found = optim.orthogonalize(backend.asarray(matrix), iterations)
    turned = optim.orthogonalize(backend.asarray(matrix.T.copy()), iterations)
    np.testing.assert_allclose(backend.to_numpy(turned), backend.to_numpy(found).T, rtol=0, atol=1e-10)


@given(size=SIDES, seed=SEEDS, scale=st.floats(1e-3, 1e3))
def test_an_orthogonal_matrix_stays_but_for_its_length(backend, size, seed, scale):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    found = backend.to_numpy(optim.orthogonalize(backend.asarray(scale * q)))
    ratio = float(np.sum(found * q)) / size
    assert 0.68 < ratio < 1.14
    np.testing.assert_allclose(found, ratio * q, rtol=0, atol=1e-9)


def test_the_zero_matrix_stays(backend):
    found = backend.to_numpy(optim.orthogonalize(backend.asarray(np.zeros((3, 2)))))
    np.testing.assert_array_equal(found, np.zeros((3, 2)))


# --- the optimizer ---


@given(inputs=SIDES, outputs=SIDES, seed=SEEDS, scale=st.floats(1e-12, 1e12))
def test_the_first_step_does_not_depend_on_the_gradients_scale(backend, inputs, outputs, seed, scale):
    gradient = matrix_of(inputs, outputs, seed).ravel()
    moved = []
    for factor in (1.0, scale):
        model = linear(backend, inputs, outputs)
        before = backend.to_numpy(model.parameters.flat, copy=True)
        optimizer = optim.Muon(model, 0.1, momentum=0.0, nesterov=False)
        moved.append(train(model, optimizer, [factor * gradient]) - before)
    np.testing.assert_allclose(moved[1], moved[0], rtol=0, atol=1e-10)
    expected = -0.1 * host_orthogonalized(gradient.reshape(inputs, outputs))
    np.testing.assert_allclose(moved[0].reshape(inputs, outputs), expected, rtol=0, atol=1e-10)


OPTIONS = st.fixed_dictionaries(
    {
        "momentum": st.sampled_from([0.3, 0.95]),
        "nesterov": st.booleans(),
        "weight_decay": st.sampled_from([0.0, 0.5]),
        "adjust": st.sampled_from(["none", "original", "match_rms_adamw"]),
        "normalize": st.booleans(),
        "iterations": st.integers(1, 6),
        "decay_all": st.booleans(),
    }
)
RATES = {"3.bias": 0.3, "2.bias": 0.3, "5.weight": 0.02, "5.bias": 0.7}
LR = 0.1


def with_sgd(model, options, sgd_momentum):
    """Muon for the filters, and SGD for the rest at `RATES`, with the decay that takes the same share of all."""
    parts = optim.split(model, lambda name, shape: len(shape) == 4, *(is_called(name) for name in RATES))
    rest = [
        optim.SGD(
            part,
            RATES.get(part.layout()[0]["name"], 1.0),
            momentum=sgd_momentum,
            nesterov=sgd_momentum > 0,
            weight_decay=options["weight_decay"] * LR / RATES.get(part.layout()[0]["name"], 1.0),
            decay_all=options["decay_all"],
        )
        for part in parts[1:]
    ]
    return optim.Groups(optim.Muon(parts[0], LR, **options), *rest)


def is_called(wanted):
    return lambda name, shape: name == wanted


def expected_after(model, options, sgd_mu, gradients, rates):
    """Train by the formulas, parameter by parameter."""
    values = {name: model.backend.to_numpy(view, copy=True) for name, view in model.parameters.items()}
    velocities = {name: np.zeros_like(value) for name, value in values.items()}
    starts = model.parameters.starts
    mu, share = options["momentum"], options["weight_decay"]
    for gradient, lr in zip(gradients, rates, strict=True):
        for name, p in values.items():
            if name.startswith("0."):
                continue
            g = gradient[starts[name] : starts[name] + p.size].reshape(p.shape)
            decay = share if options["decay_all"] or name.endswith("weight") else 0.0
            v = velocities[name]
            if p.ndim == 4:
                n, m = p.size // p.shape[-1], p.shape[-1]
                v[...] = mu * v + g
                direction = g + mu * v if options["nesterov"] else v
                factors = {"none": 1.0, "original": math.sqrt(max(1.0, m / n))}
                factor = factors.get(options["adjust"], 0.2 * math.sqrt(max(m, n)))
                p *= 1 - lr * decay
                if options["normalize"]:
                    p *= math.sqrt(m) / np.linalg.norm(p)
                step = host_orthogonalized(direction.reshape(n, m), options["iterations"])
                p -= lr * factor * step.reshape(p.shape)
            else:
                own = RATES[name] * lr / LR
                d = g + decay * lr / own * p
                v[...] = sgd_mu * v + d
                p -= own * (d + sgd_mu * v)
    return values


@given(options=OPTIONS, sgd_momentum=st.sampled_from([0.0, 0.8]), seed=SEEDS)
def test_equals_a_loop_over_many_steps(backend, options, sgd_momentum, seed):
    model = network(backend)
    gradients, rates = gradients_of(model, 8, seed), [LR * (1 - step / 9) for step in range(8)]
    expected = expected_after(model, options, sgd_momentum, gradients, rates)
    optimizer = with_sgd(model, options, sgd_momentum)
    for gradient, lr in zip(gradients, rates, strict=True):
        optimizer.lr = lr
        train(model, optimizer, [gradient])
    for name, value in expected.items():
        np.testing.assert_allclose(backend.to_numpy(model.parameters[name]), value, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
@pytest.mark.parametrize(("inputs", "outputs"), [(6, 4), (4, 6), (5, 5)])
def test_equals_torch_over_many_steps(adjust, inputs, outputs):
    torch = pytest.importorskip("torch", minversion="2.9")
    model = linear(NUMPY, inputs, outputs, "float32")
    start = model.parameters.flat.copy().reshape(inputs, outputs)
    weight = torch.nn.Parameter(torch.asarray(start.T.copy()))
    theirs = torch.optim.Muon([weight], lr=0.02, weight_decay=0.3, momentum=0.8, adjust_lr_fn=adjust)
    ours = optim.Muon(model, 0.02, momentum=0.8, weight_decay=0.3, adjust=adjust)
    for gradient in gradients_of(model, 20):
        weight.grad = torch.asarray(gradient.reshape(inputs, outputs).T.astype(np.float32).copy())
        theirs.step()
        train(model, ours, [gradient])
    found, expected = model.parameters.flat.reshape(inputs, outputs), weight.detach().numpy().T
    # Its products are in bfloat16, of eight bits.
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected - start)


def test_hidden_matrices_are_all_but_the_last(backend):
    model = network(backend)
    parts = optim.split(model, optim.hidden_matrices(model))
    names = [[entry["name"] for entry in part.layout()] for part in parts]
    assert names == [["0.weight", "1.weight", "3.weight"], ["0.bias", "2.bias", "3.bias", "5.weight", "5.bias"]]


def test_what_is_no_matrix_is_refused(backend):
    message = (
        "Muon updates matrices, and these parameters are not matrices: '0.bias', '2.bias', '3.bias', '5.bias'; "
        "leave them to another optimizer, see xnn.optim.Groups"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        optim.Muon(network(backend), 0.1)


@given(seed=SEEDS)
@FEW
def test_frozen_parameters_and_their_velocity_stay(backend, seed):
    model = network(backend, "float32")
    optimizer = muon(model, 0.1, weight_decay=0.1, normalize=True, decay_all=True)
    frozen = {"0.weight", "0.bias"}
    for name in ("3.weight", "1.weight", "2.bias", "5"):
        before, velocity = model.state_dict(), optimizer.state_dict()["slots"]["velocity"]
        train(model, optimizer, gradients_of(model, 2, seed))
        after, later = model.state_dict(), optimizer.state_dict()["slots"]["velocity"]
        for parameter, start in model.parameters.starts.items():
            run = slice(start, start + after[parameter].size)
            same = np.array_equal(after[parameter], before[parameter]), np.array_equal(later[run], velocity[run])
            assert same == (parameter in frozen,) * 2
        model.freeze(name)
        frozen |= {parameter for parameter in model.parameters if parameter.startswith(name)}


@given(seed=SEEDS)
@FEW
def test_a_restored_optimizer_continues_bit_for_bit(backend, seed):
    options = {"weight_decay": 0.01, "normalize": True}
    model = network(backend, "float32")
    gradients = gradients_of(model, 8, seed)
    optimizer = muon(model, 0.1, **options)
    train(model, optimizer, gradients[:4])
    state, halfway = optimizer.state_dict(), model.state_dict()
    expected = train(model, optimizer, gradients[4:])

    other = network(backend, "float32")
    other.load_state_dict(halfway)
    resumed = muon(other, 0.1, **options)
    resumed.load_state_dict(state)
    np.testing.assert_array_equal(train(other, resumed, gradients[4:]), expected)
    assert resumed.steps == optimizer.steps == 8
    assert list(state["slots"]) == ["velocity"]


def test_the_learning_rate_scales_all_and_zero_stops_all(backend):
    model = network(backend)
    optimizer = muon(model, 0.1)
    optimizer.lr = 0.0
    before = backend.to_numpy(model.parameters.flat, copy=True)
    np.testing.assert_array_equal(train(model, optimizer, gradients_of(model, 2)), before)


def test_a_step_only_reads_the_gradients_and_keeps_the_dtype(backend):
    model = network(backend, "float32")
    gradient = gradients_of(model, 1)[0].astype(np.float32)
    flat = model.parameters.flat
    optimizer = muon(model, 0.1, weight_decay=0.1)
    train(model, optimizer, [gradient])
    np.testing.assert_array_equal(backend.to_numpy(model.gradients.flat), gradient)
    assert model.parameters.flat is flat
    assert flat.dtype == optimizer.slots["velocity"].dtype == backend.dtype("float32")


def test_nothing_is_read_back_to_the_host(device_without_host_reads):
    model = network(device_without_host_reads, "float32")
    optimizer = muon(model, 0.1, weight_decay=0.1, normalize=True)
    for _ in range(2):
        model.gradients.flat[...] = 1.0
        optimizer.step()
    assert optimizer.slots["velocity"].device == device_without_host_reads.device


def test_the_hyper_parameters_that_are_not_given():
    optimizer = optim.Muon(linear(NUMPY, 2, 2), 0.1)
    assert (optimizer.momentum, optimizer.nesterov, optimizer.weight_decay) == (0.95, True, 0.0)
    assert (optimizer.adjust, optimizer.normalize, optimizer.iterations) == ("none", False, 5)
    assert not optimizer.decay_all


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, "momentum must be a number of at least 0 and below 1, not 1.0"),
        ({"momentum": 0.0}, "nesterov=True needs a momentum above 0, not momentum=0.0"),
        ({"nesterov": 1}, "nesterov must be True or False, not 1"),
        ({"normalize": None}, "normalize must be True or False, not None"),
        ({"iterations": 0}, "iterations must be an integer of at least 1, not 0"),
        ({"adjust": "best"}, "adjust must be one of none, original, match_rms_adamw, not 'best'"),
    ],
)
def test_a_bad_hyper_parameter_is_named(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        optim.Muon(linear(NUMPY, 2, 2), 0.1, **options)


def test_matrices_side_by_side_are_updated_as_one_after_the_other():
    results = []
    for twins in (True, False):
        model = nn.Sequential(*(nn.Linear(width) for width in (96, 160, 128, 10)))
        model.build((128,), backend=make_backend("numpy", twins=twins))
        optimizer = muon(model, lr=0.1)
        for seed in range(3):
            model.gradients.flat[...] = np.random.default_rng(seed).normal(size=model.gradients.flat.shape)
            optimizer.step()
        results.append(model.parameters.flat)
    np.testing.assert_allclose(*results, rtol=1e-3, atol=1e-4)
