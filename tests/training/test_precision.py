"""Loss scaling: a power of two changes nothing, an overflow leaves all as it was, and nobody waits for the device."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.optim.table import WITH_MUON
from tests.runs.rows import quick
from tests.training.small import StopAt, comparable
from xnn import data, nn, optim
from xnn import functional as F
from xnn.backends import backend as make_backend
from xnn.errors import NonFiniteLoss, SettingError
from xnn.runs.checks import check_precision
from xnn.runs.run import resume, train
from xnn.training import LossScaler, LossScaling, Trainer

FIXED = 10**9
"""Steps after which a scale is doubled that is to stay what it is."""


def make_data(seed=0, images=40):
    random = np.random.default_rng(seed)
    labels = np.arange(images) % 3
    x = random.standard_normal((images, 5)).astype("float32")
    x[np.arange(images), labels] += 2.0
    return x, labels


def make_model(backend="numpy", precision="float32", seed=0):
    layers = nn.Linear(8), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6), nn.GELU(), nn.Linear(3)
    return nn.Sequential(*layers).build((5,), backend=backend, seed=seed, precision=precision)


def make_trainer(backend="numpy", precision="float32", optimizer="nesterov", decay=0.9, seed=0, **options):
    model = make_model(backend, precision, seed)
    average = None if decay is None else optim.ExponentialMovingAverage(model, decay)
    return Trainer(model, WITH_MUON[optimizer](model), average=average, **options)


# --- The algebra ---


@pytest.mark.parametrize("optimizer", WITH_MUON)
@given(
    exponent=st.integers(0, 24),
    seed=st.integers(0, 99),
    penalty=st.sampled_from([None, nn.L2Penalty(0.1)]),
    clip_norm=st.sampled_from([None, 0.3]),
    growth_steps=st.sampled_from([1, 3, FIXED]),
)
def test_a_power_of_two_changes_nothing(optimizer, backend, exponent, seed, penalty, clip_norm, growth_steps):
    """Bit for bit, as long as nothing leaves its type's range, here float32's."""
    options = {"optimizer": optimizer, "seed": seed, "penalty": penalty, "clip_norm": clip_norm}
    scaling = LossScaling(initial=2.0**exponent, growth_steps=growth_steps)
    plain, scaled = (make_trainer(backend, **options, loss_scaling=s) for s in (None, scaling))
    for trainer in (plain, scaled):
        trainer.fit(make_data(seed), epochs=1, batch_size=16)
    arrays, info = scaled.state_dict()
    state = info.pop("loss_scaling")
    assert comparable(arrays, info) == comparable(*plain.state_dict())
    assert state["scale"] == 2.0 ** min(24, exponent + 3 // growth_steps)
    assert state["skipped_steps"] == 0


# --- Overflow ---


@given(st.data())
def test_an_overflow_leaves_everything_as_it_was(backend, data):
    """Whichever gradient it is, and whatever the optimizer."""
    model = make_model(backend)
    optimizer = WITH_MUON[data.draw(st.sampled_from(sorted(WITH_MUON)))](model)
    average = optim.ExponentialMovingAverage(model, 0.5)
    scaler = LossScaler(LossScaling(2.0**10, growth_steps=4), model, optimizer, average)
    x, labels = (backend.asarray(array) for array in make_data())
    value = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    position = data.draw(st.integers(0, model.gradients.flat.shape[0] - 1))

    def vectors():
        all_of_them = [model.parameters.flat, model.buffers.flat, *optimizer.slots.values(), *average.average]
        return [backend.to_numpy(vector, copy=True) for vector in all_of_them]

    def step(spoilt):
        scaler.begin()
        logits, pullback = model.forward(x, train=True)
        _, loss_pullback = F.softmax_cross_entropy(logits, labels)
        pullback(loss_pullback(scaler.scale))
        if spoilt:
            model.gradients.flat[position] = value
        scaler.unscale()
        with np.errstate(invalid="ignore"):
            optim.clip_gradient_norm(model, 1.0)
            optimizer.step()
            average.update()
        scaler.end()

    step(False)
    before = vectors()
    for skipped in (1, 2):
        step(True)
        for a, b in zip(vectors(), before, strict=True):
            np.testing.assert_array_equal(a, b)
        assert scaler.report() == {"loss_scale": 2.0 ** (10 - skipped), "skipped_steps": skipped}
    step(False)
    assert not any(np.array_equal(a, b) for a, b in zip(vectors(), before, strict=True))
    assert all(np.isfinite(vector).all() for vector in vectors())
    # The good steps before the overflow do not count.
    for _ in range(2):
        step(False)
        assert scaler.report()["loss_scale"] == 2.0**8
    # A doubling begins a new count.
    for _ in range(4):
        step(False)
        assert scaler.report() == {"loss_scale": 2.0**9, "skipped_steps": 2}


class Spoiled:
    """Softmax cross-entropy whose gradient is infinite in some steps, or from some scale on."""

    def __init__(self, is_spoiled):
        self.is_spoiled = is_spoiled
        self.step = 0
        self.scales = []

    def forward(self, logits, labels):
        loss, pullback = F.softmax_cross_entropy(logits, labels)

        def spoiled(dloss=1.0):
            self.step += 1
            self.scales.append(float(dloss))
            gradient = pullback(dloss)
            if self.is_spoiled(self.step, float(dloss)):
                gradient[0, 0] = math.inf
            return gradient

        return loss, spoiled


def test_the_scale_finds_the_largest_that_does_not_overflow():
    loss = Spoiled(lambda step, scale: scale > 2.0**12)
    trainer = make_trainer(loss=loss, loss_scaling=LossScaling(2.0**16, growth_steps=3), log_every=10**6)
    trainer.fit(make_data(), epochs=4, batch_size=10)
    exponents = [int(math.log2(scale)) for scale in loss.scales]
    # Four steps down; then each third good step one up, and one back down.
    assert exponents == [16, 15, 14, 13, 12, 12, 12, 13, 12, 12, 12, 13, 12, 12, 12, 13]
    assert trainer.scaler.state_dict() == {"scale": 2.0**12, "good_steps": 0, "skipped_steps": 7}
    assert np.isfinite(trainer.model.parameters.flat).all()


def test_the_scale_stays_in_its_bounds():
    trainer = make_trainer(loss_scaling=LossScaling(2.0**23, growth_steps=1))
    trainer.fit(make_data(), epochs=1, batch_size=10)
    assert trainer.scaler.report()["loss_scale"] == 2.0**24
    trainer = make_trainer(loss=Spoiled(lambda *_: True), loss_scaling=LossScaling(4.0), log_every=10**6)
    trainer.fit(make_data(), epochs=1, batch_size=10)
    assert trainer.scaler.report() == {"loss_scale": 1.0, "skipped_steps": 4}


def test_what_no_scale_helps_is_an_error():
    trainer = make_trainer(loss=Spoiled(lambda *_: True), loss_scaling=LossScaling(4.0), log_every=3)
    with pytest.raises(
        NonFiniteLoss, match="a gradient became infinite or NaN at a loss scale of 1 in epoch 1, step 3"
    ):
        trainer.fit(make_data(), epochs=1, batch_size=10)
    # At a scale of 2 the fault may still be the scale's.
    trainer = make_trainer(loss=Spoiled(lambda *_: True), loss_scaling=LossScaling(4.0), log_every=2)
    trainer.fit(make_data(images=20), epochs=1, batch_size=10)
    assert trainer.scaler.report()["loss_scale"] == 1.0


def test_the_log_tells_the_scale_and_the_skipped_steps():
    rows = StopAt()
    loss = Spoiled(lambda step, _: step in (2, 3))
    trainer = make_trainer(loss=loss, loss_scaling=LossScaling(8.0), log_every=2, callbacks=[rows])
    trainer.fit(make_data(), epochs=1, batch_size=10)
    assert [(row["loss_scale"], row["skipped_steps"]) for row in rows.rows] == [(4.0, 1), (2.0, 2)]
    plain = StopAt()
    make_trainer(log_every=2, callbacks=[plain]).fit(make_data(), epochs=1, batch_size=10)
    assert not any("loss_scale" in row or "skipped_steps" in row for row in plain.rows)


# --- Training ---


def low_precisions(backends):
    return [(b, p) for b in backends for p in ("float16", "bfloat16") if p in b.precisions]


@pytest.fixture(scope="module")
def digits():
    """Some of the digits, and how to make a trainer of a small network for them."""
    dataset = data.load("digits")
    images = data.Normalization.of(dataset.train)(dataset.train.images[:400]).astype("float32")
    return np.asarray(images), np.asarray(dataset.train.labels[:400])


def fitted(digits, backend, precision):
    layers = nn.Conv2d(8, 3, padding=1), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(10)
    model = nn.Sequential(*layers).build((8, 8, 1), backend=backend, precision=precision)
    optimizer = optim.SGD(model, 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    trainer = Trainer(model, optimizer, average=optim.ExponentialMovingAverage(model, 0.8))
    return trainer.fit(digits, digits, epochs=3, batch_size=50)


def test_training_comes_to_the_loss_of_float32(digits, backends):
    for backend in backends:
        lower = [precision for b, precision in low_precisions(backends) if b is backend]
        expected = fitted(digits, backend, "float32") if lower else []
        for precision in lower:
            found = fitted(digits, backend, precision)
            # Their errors are steps of 2**-11 and 2**-8, and grow a little from step to step.
            tolerance = {"float16": 0.005, "bfloat16": 0.04}[precision]
            for name in ("train_loss", "validation_loss"):
                np.testing.assert_allclose(found.column(name), expected.column(name), rtol=tolerance)
            assert found[-1]["validation_accuracy"] > 0.9
            assert found[-1]["validation_accuracy"] >= expected[-1]["validation_accuracy"] - 0.02


def test_only_float16_scales_the_loss(backends):
    for backend, precision in low_precisions(backends):
        assert (make_trainer(backend, precision).scaler is not None) == (precision == "float16")
    assert make_trainer().scaler is None
    assert make_trainer(precision="float16").scaler.report()["loss_scale"] == 2.0**16


class Faint:
    """A mean squared error times 1e-9, so that its gradient is below what float16 holds."""

    def forward(self, prediction, target):
        loss, pullback = F.mse(prediction, target)
        return loss, lambda dloss=1.0: pullback(1e-9 * dloss)


@pytest.mark.parametrize(("scaling", "is_lost"), [(LossScaling(1.0, FIXED), True), (LossScaling(), False)])
def test_gradients_that_float16_would_lose_are_kept_by_the_scale(scaling, is_lost):
    x = np.random.default_rng(0).standard_normal((8, 5)).astype("float32")
    gradients = []
    for precision in ("float16", "float32"):
        model = nn.Sequential(nn.Linear(4), nn.ReLU(), nn.Linear(2)).build((5,), backend="numpy", precision=precision)
        options = {"loss": Faint(), "loss_scaling": scaling if precision == "float16" else None}
        Trainer(model, optim.SGD(model, 1.0), **options).fit((x, x[:, :2]), epochs=1, batch_size=8)
        gradients.append(model.gradients.flat.copy())
    found, expected = gradients
    if is_lost:
        assert not np.any(found)
    else:
        np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02 * np.max(np.abs(expected)))


def test_updates_too_small_for_float16_add_up(backends):
    """Each is a quarter of float16's step at 1: there 1 would stay 1 for ever."""
    change = 2.0**-13
    for backend, precision in low_precisions(backends):
        model = nn.Linear(1, bias=False, weight_initializer=nn.initializers.ones).build(
            (1,), backend=backend, precision=precision
        )
        optimizer = optim.SGD(model, change)
        x = backend.asarray(np.ones((4, 1)), "float32")
        outputs = []
        for _ in range(256):
            y, pullback = model.forward(x, train=True)
            pullback(backend.xp.full_like(y, 0.25))
            optimizer.step()
            outputs.append(float(y[0, 0]))
        assert float(model.parameters.flat[0]) == 1.0 - 256 * change
        assert outputs[0] == 1.0
        assert outputs[-1] == pytest.approx(1.0 - 255 * change, rel=2.0**-8)


def test_an_activation_that_overflows_is_an_error_that_names_a_way_out():
    model = nn.Sequential(nn.Linear(3)).build((5,), backend="numpy", precision="float16")
    x, labels = make_data()
    with pytest.raises(NonFiniteLoss, match=r"the training loss became nan.* or --precision float32$"):
        Trainer(model, optim.SGD(model, 0.1)).fit((1e6 * x, labels), epochs=1)
    # And what it would have done to the weights was not done.
    assert np.isfinite(model.parameters.flat).all()


# --- Resuming ---


@given(stop=st.integers(1, 11), precision=st.sampled_from(["float16", "float32"]), seed=st.integers(0, 9))
def test_a_resumed_run_is_bit_for_bit_the_undisturbed_one(stop, precision, seed):
    """Inside an epoch too, with the scale in the middle of its counts and after skipped steps."""

    def trainer(**options):
        scaling = LossScaling(2.0**14, growth_steps=3)
        overflows = Spoiled(lambda _, scale: scale > 2.0**13)
        return make_trainer("numpy", precision, loss=overflows, loss_scaling=scaling, seed=seed, log_every=4, **options)

    def fit(trainer):
        trainer.fit(make_data(seed), until=3, batch_size=10)

    whole, first, second = trainer(), trainer(callbacks=[StopAt(stop)]), trainer()
    fit(whole)
    fit(first)
    arrays, info = first.state_dict()
    second.load_state_dict(arrays, json.loads(json.dumps(info)))
    fit(second)
    assert comparable(*second.state_dict()) == comparable(*whole.state_dict())
    assert whole.scaler.report()["skipped_steps"] > 0


def test_a_checkpoint_without_a_scale_begins_with_a_new_one():
    other, trainer = make_trainer(precision="float32"), make_trainer(precision="float16")
    trainer.scaler.load_state_dict({"scale": 2.0, "good_steps": 3, "skipped_steps": 4})
    trainer.load_state_dict(*other.state_dict())
    assert trainer.scaler.state_dict() == {"scale": 2.0**16, "good_steps": 0, "skipped_steps": 0}
    other.load_state_dict(*trainer.state_dict())
    assert other.scaler is None


def test_a_run_in_float16_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    whole = train(quick(tmp_path / "whole", average=0.9, precision="float16"))
    first = train(quick(tmp_path / "run", average=0.9, precision="float16"), callbacks=[StopAt(30)])
    assert first.values is None
    said = []
    second = resume(tmp_path / "run", warn=said.append)
    assert said == []
    assert second.model.precision == "float16"
    np.testing.assert_equal(second.model.state_dict(), whole.model.state_dict())
    assert all(array.dtype == np.float32 for array in second.model.state_dict().values())
    intervals = (tmp_path / "run" / "intervals.jsonl").read_text().splitlines()
    assert intervals
    assert json.loads(intervals[-1])["loss_scale"] == 2.0**16
    # What runs in float32 have is not what it computed.
    plain = train(quick(tmp_path / "plain", average=0.9))
    assert not np.array_equal(plain.model.parameters.flat, whole.model.parameters.flat)


def test_a_run_may_go_on_in_another_precision_and_says_so(tmp_path):
    train(quick(tmp_path / "run"), callbacks=[StopAt(30)])
    said = []
    result = resume(tmp_path / "run", warn=said.append, precision="float16")
    assert result.values is not None
    assert ["goes on with precision float16, not float32" in line for line in said] == [True]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["precision"] == "float16"


# --- What is refused ---


@pytest.mark.parametrize("initial", [0.0, 0.5, 3.0, 2.0**25, math.inf, math.nan, -2.0])
def test_a_scale_is_a_power_of_two(initial):
    with pytest.raises(ValueError, match="initial must be a power of two from 1 to 16777216"):
        LossScaling(initial)


def test_growth_takes_a_step_at_least():
    with pytest.raises(ValueError, match="growth_steps must be an integer of at least 1, not 0"):
        LossScaling(growth_steps=0)


@pytest.mark.parametrize(
    ("backend", "precision", "message"),
    [
        ("numpy", "bfloat16", "numpy does not offer it; choose one of float32, tf32, float16, or use --backend torch"),
        ("array_api_strict", "tf32", "leave it out, or use --backend numpy, or a CUDA device of compute capability 8"),
        ("array_api_strict", "float16", "CPU_DEVICE does not offer it; leave it out, or use --backend numpy, cupy or"),
    ],
)
def test_what_a_backend_has_not_is_a_line_that_says_what_to_do(backend, precision, message):
    if backend != "numpy":
        pytest.importorskip(backend)
    with pytest.raises(SettingError, match=f"^--precision {precision}: .*{message}"):
        check_precision(precision, make_backend(backend))


def test_what_a_backend_has_is_let_through(backends):
    for backend in backends:
        for precision in backend.precisions:
            check_precision(precision, backend)
