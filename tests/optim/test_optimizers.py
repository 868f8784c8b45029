"""Every optimizer against PyTorch's, against its own formula, and against itself cut up differently."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.optim.flat import FlatModel
from tests.optim.table import each_optimizer
from xnn import kernels, nn, optim
from xnn.backends import backend as make_backend

# Examples of 25 steps each, for each kind of optimizer.
FEW = settings(max_examples=settings().max_examples // 2)
SIZES = st.lists(st.integers(0, 5), min_size=1, max_size=5)
SEEDS = st.integers(0, 2**32 - 1)
LR = st.floats(1e-4, 0.3)
WEIGHT_DECAY = st.sampled_from([0.0, 1e-3, 0.1])
MOMENTUM = st.sampled_from([0.0, 0.5, 0.9])
BETAS = st.sampled_from([(0.9, 0.999), (0.0, 0.9), (0.5, 0.0), (0.95, 0.99)])


def flags(rng, n):
    return [bool(flag) for flag in rng.integers(0, 2, n)]


def train(model, optimizer, gradients):
    for gradient in gradients:
        model.set_gradients(gradient)
        optimizer.step()
    return model.parameters_on_host()


@st.composite
def options_of(draw, kind):
    """Draw options, which have the same names here and in PyTorch."""
    common = {"lr": draw(LR), "weight_decay": draw(WEIGHT_DECAY)}
    if kind == "SGD":
        momentum = draw(MOMENTUM)
        own = {"momentum": momentum, "nesterov": momentum > 0 and draw(st.booleans())}
    elif kind == "RMSprop":
        own = {"momentum": draw(MOMENTUM), "alpha": draw(st.sampled_from([0.0, 0.9, 0.99])), "eps": 1e-6}
    else:
        own = {"betas": draw(BETAS), "eps": draw(st.sampled_from([1e-8, 1e-3]))}
    return common | own


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop"])
@given(data=st.data(), lengths=SIZES, seed=SEEDS)
@FEW
def test_equals_torch_over_many_steps(backend, kind, data, lengths, seed):
    torch = pytest.importorskip("torch")
    options = data.draw(options_of(kind))
    rng = np.random.default_rng(seed)
    values = rng.normal(size=sum(lengths))
    gradients = rng.normal(size=(25, len(values)))
    model = FlatModel(backend, values, lengths, flags(rng, len(lengths)), flags(rng, len(lengths)))
    ours = train(model, getattr(optim, kind)(model, **options), gradients)

    parts = np.cumsum(lengths)[:-1]
    tensors = [torch.asarray(part.copy()) for part in np.split(values, parts)]
    groups = [
        {"params": tensor, "weight_decay": options["weight_decay"] if decay else 0.0}
        for tensor, decay, trainable in zip(tensors, model.decay, model.trainable, strict=True)
        if trainable
    ]
    if groups:
        theirs = getattr(torch.optim, kind)(groups, **options)
        for gradient in gradients:
            for tensor, part in zip(tensors, np.split(gradient, parts), strict=True):
                tensor.grad = torch.asarray(part.copy())
            theirs.step()
    np.testing.assert_allclose(ours, torch.cat(tensors).numpy(), rtol=1e-6, atol=1e-9)


@each_optimizer
@given(lengths=SIZES, seed=SEEDS, weight_decay=WEIGHT_DECAY)
def test_the_cut_into_runs_does_not_matter(backend, make, lengths, seed, weight_decay):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=sum(lengths))
    gradients = rng.normal(size=(6, len(values)))
    results = []
    for cut in (lengths, [len(values)], [1] * len(values)):
        model = FlatModel(backend, values, cut, dtype="float32")
        results.append(train(model, make(model, weight_decay=weight_decay), gradients))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


@each_optimizer
@given(lengths=SIZES, seed=SEEDS)
def test_frozen_parameters_and_their_slots_stay(backend, make, lengths, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=sum(lengths))
    model = FlatModel(backend, values, lengths)
    optimizer = make(model, weight_decay=0.1)
    train(model, optimizer, rng.normal(size=(3, len(values))))

    model.trainable = flags(rng, len(lengths))
    before, slots_before = model.parameters_on_host(), optimizer.state_dict()["slots"]
    after = train(model, optimizer, rng.normal(size=(3, len(values))))
    slots_after = optimizer.state_dict()["slots"]

    frozen = ~np.repeat(model.trainable, lengths)
    np.testing.assert_array_equal(after[frozen], before[frozen])
    assert (after[~frozen] != before[~frozen]).all()
    for name in slots_before:
        np.testing.assert_array_equal(slots_after[name][frozen], slots_before[name][frozen])
        assert (slots_after[name][~frozen] != slots_before[name][~frozen]).all()


@given(lr=LR, weight_decay=WEIGHT_DECAY, seed=SEEDS)
def test_momentum_zero_is_plain_gradient_descent(backend, lr, weight_decay, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=9)
    gradients = rng.normal(size=(10, 9))
    model = FlatModel(backend, values, [4, 5])
    optimizer = optim.SGD(model, lr, momentum=0.0, weight_decay=weight_decay)
    ours = train(model, optimizer, gradients)
    for gradient in gradients:
        values = values - lr * (gradient + weight_decay * values)
    np.testing.assert_allclose(ours, values, rtol=1e-12)
    assert optimizer.slots == {}


@given(lr=LR, weight_decay=st.sampled_from([1e-3, 0.1]), seed=SEEDS)
def test_adamw_decouples_the_decay_and_adam_does_not(backend, lr, weight_decay, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=6)
    gradients = rng.normal(size=(8, 6))
    moments = {}
    for kind in (optim.Adam, optim.AdamW):
        for decay in (0.0, weight_decay):
            model = FlatModel(backend, values, [6])
            optimizer = kind(model, lr, weight_decay=decay)
            train(model, optimizer, gradients)
            moments[kind, decay] = optimizer.state_dict()["slots"]
    for name in ("first_moment", "second_moment"):
        decoupled, bare = moments[optim.AdamW, weight_decay][name], moments[optim.AdamW, 0.0][name]
        np.testing.assert_array_equal(decoupled, bare)
        assert (moments[optim.Adam, weight_decay][name] != bare).all()

    model = FlatModel(backend, values, [6])
    shrunk = train(model, optim.AdamW(model, lr, weight_decay=weight_decay), np.zeros((8, 6)))
    np.testing.assert_allclose(shrunk, values * (1 - lr * weight_decay) ** 8, rtol=1e-12)


@each_optimizer
@pytest.mark.parametrize("weight_decay", [0.1, 1.0])
def test_biases_are_not_decayed_unless_asked(backend, make, weight_decay):
    values = np.arange(1.0, 7.0)
    for decay_all in (False, True):
        model = FlatModel(backend, values, [4, 2], decay=[True, False])
        optimizer = make(model, weight_decay=weight_decay, decay_all=decay_all)
        after = train(model, optimizer, np.zeros((3, 6)))
        assert (after[:4] < values[:4]).all()
        assert (after[4:] < values[4:]).all() if decay_all else (after[4:] == values[4:]).all()


@each_optimizer
@given(seed=SEEDS)
def test_a_restored_optimizer_continues_bit_for_bit(backend, make, seed):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(10, 8))
    model = FlatModel(backend, rng.normal(size=8), [3, 5], dtype="float32")
    optimizer = make(model, weight_decay=0.01)
    train(model, optimizer, gradients[:5])
    state, halfway = optimizer.state_dict(), model.parameters_on_host()
    expected = train(model, optimizer, gradients[5:])

    other = FlatModel(backend, halfway, [3, 5], dtype="float32")
    resumed = make(other, weight_decay=0.01)
    resumed.load_state_dict(state)
    assert resumed.steps == 5
    np.testing.assert_array_equal(train(other, resumed, gradients[5:]), expected)
    assert resumed.steps == optimizer.steps == 10


@each_optimizer
def test_a_step_only_reads_the_gradients_and_keeps_the_dtype(backend, make):
    gradient = np.linspace(-2, 2, 7, dtype=np.float32)
    model = FlatModel(backend, np.ones(7), [3, 4], dtype="float32")
    flat = model.parameters.flat
    optimizer = make(model, weight_decay=0.1)
    train(model, optimizer, [gradient])
    np.testing.assert_array_equal(model.gradients_on_host(), gradient)
    assert model.parameters.flat is flat
    assert model.parameters_on_host().dtype == np.float32
    assert all(slot.dtype == flat.dtype for slot in optimizer.slots.values())


@each_optimizer
def test_nothing_is_read_back_to_the_host(make, device_without_host_reads):
    model = FlatModel(device_without_host_reads, np.ones(7), [3, 4])
    optimizer = make(model, weight_decay=0.1)
    for _ in range(3):
        model.gradients.flat[...] = 1.0
        optimizer.step()
    assert all(slot.device == device_without_host_reads.device for slot in optimizer.slots.values())


def test_the_learning_rate_can_be_assigned(backend):
    model = FlatModel(backend, np.ones(3), [3])
    optimizer = optim.SGD(model, 0.5)
    optimizer.lr = 0.25
    np.testing.assert_array_equal(train(model, optimizer, [np.ones(3)]), np.full(3, 0.75))
    optimizer.lr = 0
    np.testing.assert_array_equal(train(model, optimizer, [np.ones(3)]), np.full(3, 0.75))
    for bad in (-1.0, float("nan"), "0.1", True):
        with pytest.raises(ValueError, match="lr must be"):
            optimizer.lr = bad
    assert optimizer.lr == 0.0


BASE = {"weight_decay": 0.0, "decay_all": False}
DEFAULTS = {
    optim.SGD: BASE | {"momentum": 0.0, "nesterov": False},
    optim.Adam: BASE | {"betas": (0.9, 0.999), "eps": 1e-8},
    optim.AdamW: BASE | {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
    optim.RMSprop: BASE | {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0},
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_the_hyper_parameters_that_are_not_given(kind):
    optimizer = kind(FlatModel(make_backend("numpy"), np.ones(2), [2]), 0.1)
    assert {name: getattr(optimizer, name) for name in DEFAULTS[kind]} == DEFAULTS[kind]


class Shrink(optim.Optimizer):
    """An optimizer of one's own."""

    def _update(self, parameter, gradient, slots, weight_decay):
        parameter -= weight_decay * parameter


def test_an_optimizer_of_ones_own_decays_what_it_is_told_to():
    for options, expected in (({}, [1.0, 1.0]), ({"weight_decay": 0.5}, [0.5, 1.0])):
        model = FlatModel(make_backend("numpy"), np.ones(2), [1, 1], decay=[True, False])
        np.testing.assert_array_equal(train(model, Shrink(model, 0.1, **options), np.zeros((1, 2))), expected)


def test_an_optimizer_without_a_rule_is_named():
    with pytest.raises(NotImplementedError, match=r"^Optimizer has no update rule: it must implement _update$"):
        optim.Optimizer(FlatModel(make_backend("numpy"), np.ones(2), [2]), 0.1).step()


def test_a_twin_takes_the_steps_where_there_is_one(monkeypatch):
    asked, steps = [], []

    def single_pass(*arguments):
        asked.append(arguments)
        return lambda optimizer, runs: steps.append((optimizer, optimizer.steps, runs))

    monkeypatch.setattr(kernels, "single_pass", single_pass)
    model = FlatModel(make_backend("numpy"), np.ones(3), [2, 1], decay=[True, False])
    optimizer = optim.SGD(model, 0.1, weight_decay=0.5)
    np.testing.assert_array_equal(train(model, optimizer, np.ones((1, 3))), np.ones(3))
    assert asked == [(model.backend, "float64", "xnn.optim.sgd.SGD")]
    assert steps == [(optimizer, 1, [(0, 2, 0.5), (2, 3, 0.0)])]


BAD_NUMBERS = [True, "0.1", None, float("nan"), float("inf"), -float("inf"), -0.1, 1j]
BAD_OPTIONS = [
    *((kind, "lr", bad) for kind in ("SGD", "Adam", "RMSprop") for bad in [*BAD_NUMBERS, 0]),
    *((kind, "weight_decay", bad) for kind in ("SGD", "Adam", "RMSprop") for bad in BAD_NUMBERS),
    *(("AdamW", name, bad) for name in ("lr", "eps") for bad in [*BAD_NUMBERS, 0, 0.0]),
    *(("RMSprop", "eps", bad) for bad in [*BAD_NUMBERS, 0]),
    *((kind, "momentum", bad) for kind in ("SGD", "RMSprop") for bad in [*BAD_NUMBERS, 1.0, 1.5]),
    *(("RMSprop", "alpha", bad) for bad in [*BAD_NUMBERS, 1.0]),
    *(("SGD", name, bad) for name in ("nesterov", "decay_all") for bad in ["yes", 1, None]),
]  # fmt: skip
EXPECTED = {
    **dict.fromkeys(("lr", "eps"), "a finite number above 0"),
    "weight_decay": "a finite number of at least 0",
    **dict.fromkeys(("momentum", "alpha"), "a number of at least 0 and below 1"),
    **dict.fromkeys(("nesterov", "decay_all"), "True or False"),
}


@pytest.mark.parametrize(("kind", "name", "bad"), BAD_OPTIONS)
def test_a_bad_hyper_parameter_is_named(kind, name, bad):
    model = FlatModel(make_backend("numpy"), np.ones(2), [2])
    with pytest.raises(ValueError, match=f"^{name} must be {EXPECTED[name]}, not {re.escape(repr(bad))}$"):
        getattr(optim, kind)(model, **{"lr": 0.1, name: bad})


def test_nesterov_needs_momentum():
    model = FlatModel(make_backend("numpy"), np.ones(2), [2])
    with pytest.raises(ValueError, match=r"^nesterov=True needs a momentum above 0, not momentum=0\.0$"):
        optim.SGD(model, 0.1, nesterov=True)


BAD_BETAS = [
    *((bad, "betas", bad) for bad in (0.9, None, "ab", (0.9,), (0.9, 0.9, 0.9))),
    *(((bad, 0.9), r"betas\[0\]", bad) for bad in [*BAD_NUMBERS, 1.0]),
    *(((0.9, bad), r"betas\[1\]", bad) for bad in [*BAD_NUMBERS, 1.0]),
]


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
@pytest.mark.parametrize(("betas", "name", "bad"), BAD_BETAS)
def test_bad_betas_are_named(kind, betas, name, bad):
    model = FlatModel(make_backend("numpy"), np.ones(2), [2])
    with pytest.raises(ValueError, match=f"^{name} must be") as caught:
        getattr(optim, kind)(model, 0.1, betas=betas)
    assert repr(bad) in str(caught.value)


BAD_STATES = [
    (lambda s: {**s, "steps": -1}, "steps must be"),
    (lambda s: {**s, "steps": True}, "steps must be"),
    (lambda s: {**s, "steps": 1.5}, "steps must be"),
    (lambda s: {"slots": s["slots"]}, "keys 'steps' and 'slots'"),
    (lambda s: {**s, "slots": {}}, "velocity"),
    (lambda s: {**s, "slots": {**s["slots"], "first_moment": np.ones(4)}}, "first_moment"),
    (lambda s: {**s, "slots": {"velocity": np.ones(5)}}, r"slot 'velocity' has shape \(5,\)"),
    (lambda s: {**s, "slots": {"velocity": np.ones((4, 1))}}, r"slot 'velocity' has shape \(4, 1\)"),
]


@pytest.mark.parametrize(("damage", "message"), BAD_STATES)
def test_a_state_that_does_not_fit_is_refused_whole(backend, damage, message):
    model = FlatModel(backend, np.ones(4), [4])
    optimizer = optim.SGD(model, 0.1, momentum=0.9)
    train(model, optimizer, np.ones((2, 4)))
    good = optimizer.state_dict()
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(damage(good))
    assert optimizer.steps == 2
    np.testing.assert_array_equal(optimizer.state_dict()["slots"]["velocity"], good["slots"]["velocity"])


@pytest.mark.parametrize(
    "make", [lambda model: optim.Adam(model, 0.1), lambda model: optim.ExponentialMovingAverage(model, 0.9)]
)
def test_a_state_with_one_vector_of_words_is_refused_whole(make):
    owner = make(FlatModel(make_backend("numpy"), np.ones(2), [2]))
    good = owner.state_dict()
    assert good["steps"] == 0
    owner.load_state_dict(good)
    first, second = good["slots"]
    with pytest.raises(ValueError, match="string"):
        owner.load_state_dict({"steps": 1, "slots": {first: np.full(2, 7.0), second: np.array(["a", "b"])}})
    np.testing.assert_array_equal(owner.state_dict()["slots"][first], good["slots"][first])


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Muon"])
def test_parameters_in_place_of_the_model_are_told_so(kind):
    parameters = nn.Linear(3).build((2,)).parameters
    for wrong in (parameters, parameters.values(), list(parameters.values())):
        with pytest.raises(TypeError, match=rf"^{kind} takes the model itself, as in optim.{kind}\("):
            getattr(optim, kind)(wrong, lr=0.1)


@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
def test_adam_has_its_papers_learning_rate(kind):
    assert kind(nn.Linear(3).build((2,))).lr == 0.001
    with pytest.raises(TypeError, match="takes the model itself"):
        kind(nn.Linear(3).build((2,)).parameters)
