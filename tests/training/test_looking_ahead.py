"""Image by image a step may begin the next one; nobody may notice."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xnn
from xnn import nn, optim
from xnn.data import Batches, Normalization, Split
from xnn.runs import JsonLines
from xnn.training import Callback, Trainer
from xnn.training.looking_ahead import looking_ahead

pytest.importorskip("numba")
from xnn.kernels.numpy import single_row

NORMALIZATION = Normalization((0.5,), (0.25,))


class Watch(Callback):
    """Notes the weights' first entries, and stops after a step; does not say that it only watches."""

    def __init__(self, stop=None):
        self.stop, self.seen = stop, []

    def step_end(self, trainer):
        self.seen.append(trainer.model.parameters["1.weight"][0].copy())
        if trainer.step == self.stop:
            trainer.request_stop("a test", to_resume=True)


class OnlyWatch(Watch):
    only_watches = True


def make_trainer(callbacks, *, twins=True, optimizer=None, seed=0, **options):
    layers = nn.Flatten(), nn.Linear(257), nn.ReLU(), nn.Linear(3)
    model = nn.Sequential(*layers).build((16, 16, 1), backend=xnn.backend("numpy", twins=twins), seed=seed)
    make = (lambda model: optim.SGD(model, lr=0.01, weight_decay=0.1)) if optimizer is None else optimizer
    return Trainer(model, make(model), callbacks=callbacks, log_every=3, **options)


def batches(trainer, images=9, seed=0, batch_size=1):
    random = np.random.default_rng(seed)
    split = Split(random.integers(0, 256, (images, 16, 16, 1), dtype=np.uint8), random.integers(0, 3, images))
    return Batches(split, batch_size, backend=trainer.model.backend, normalization=NORMALIZATION, seed=seed)


def products(monkeypatch):
    """Return a list that grows with each product that is made for its own sake."""
    made, product = [], single_row.product
    monkeypatch.setattr(single_row, "product", lambda row, weight: made.append(weight.shape) or product(row, weight))
    return made


@pytest.fixture(autouse=True, params=[1000, 2**18], ids=["shared", "alone"])
def least(request, monkeypatch):
    """How many numbers are worth a thread: with few, the first weight is shared by all."""
    monkeypatch.setattr(single_row, "LEAST", request.param)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=st.integers(1, 9), stop=st.integers(1, 17), epochs=st.integers(1, 2), seed=st.integers(0, 9))
def test_every_step_is_the_same_bit_for_bit_also_after_a_stop(images, stop, epochs, seed):
    straight, watched = Watch(), OnlyWatch(stop)
    expected = make_trainer([straight], seed=seed)
    expected.fit(batches(expected, images, seed), epochs=epochs)
    first = make_trainer([watched], seed=seed)
    first.fit(batches(first, images, seed), epochs=epochs)
    resumed = make_trainer([watched], seed=seed + 1)
    resumed.load_state_dict(*first.state_dict())
    resumed.fit(batches(resumed, images, seed), epochs=epochs)
    np.testing.assert_array_equal(watched.seen, straight.seen)
    np.testing.assert_array_equal(resumed.model.parameters.flat, expected.model.parameters.flat)


class Silent(OnlyWatch):
    """Does something else than the class that says it only watches."""

    def step_end(self, trainer):
        super().step_end(trainer)


class Quiet(OnlyWatch):
    """Likewise."""

    def interval(self, trainer, row):
        """Do nothing."""


def with_hook_of_its_own():
    callback = OnlyWatch()
    callback.interval = lambda trainer, row: None
    return callback


@pytest.mark.parametrize(
    ("make", "expected"),
    [(OnlyWatch, 2), (Watch, 18), (Silent, 18), (Quiet, 18), (with_hook_of_its_own, 18)],
)
def test_only_an_epochs_first_product_is_made_for_its_own_sake_if_all_only_watch(monkeypatch, make, expected):
    made = products(monkeypatch)
    trainer = make_trainer([make(), Callback(), JsonLines(None)])
    trainer.fit(batches(trainer), epochs=2)
    assert made == [(256, 257)] * expected


@pytest.mark.parametrize("hook", ["step_end", "interval"])
def test_a_callback_may_change_the_weights(hook):
    def change(self, trainer, row=None):
        trainer.model.parameters["1.weight"][...] *= 0.5

    trained = []
    for twins in (True, False):
        trainer = make_trainer([type("Change", (Callback,), {hook: change})()], twins=twins)
        trainer.fit(batches(trainer), epochs=2)
        trained.append(trainer.model.parameters.flat)
    np.testing.assert_allclose(*trained, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": lambda model: optim.SGD(model, lr=0.01, momentum=0.9)},
        {"optimizer": lambda model: optim.Adam(model, lr=0.01)},
        {"clip_norm": 0.1},
        {"penalty": nn.L2Penalty(0.1)},
        {"batch_size": 2},
        {"frozen": True},
    ],
    ids=["momentum", "adam", "clipped", "penalty", "pairs", "frozen"],
)
def test_where_it_is_of_no_use_training_is_as_without_twins(options):
    class Look(OnlyWatch):
        only_watches = True

        def step_end(self, trainer):
            assert all(parameter.known is None for parameter in trainer.model._all_parameters.values())

    batch_size, frozen = options.get("batch_size", 1), options.get("frozen")
    options = {name: value for name, value in options.items() if name not in ("batch_size", "frozen")}
    trained = []
    for twins in (True, False):
        trainer = make_trainer([Look()], twins=twins, **options)
        if frozen:
            trainer.model.freeze("1")
        trainer.fit(batches(trainer, batch_size=batch_size), epochs=2)
        trained.append(trainer.model.parameters.flat)
    np.testing.assert_allclose(*trained, rtol=1e-3, atol=1e-4)


def test_after_a_stop_or_an_error_nothing_is_left():
    class Fail(OnlyWatch):
        only_watches = True

        def step_end(self, trainer):
            super().step_end(trainer)
            if trainer.step == 4:
                assert trainer.model.layers[1].weight.known is not None
                raise RuntimeError("a test")

    for callback in (OnlyWatch(4), Fail()):
        trainer = make_trainer([callback])
        try:
            trainer.fit(batches(trainer), epochs=2)
        except RuntimeError as error:
            kept = error
        assert trainer.step == 4
        weight = trainer.model.layers[1].weight
        assert (weight.ahead, weight.known) == (None, None)
    assert str(kept) == "a test"


def test_the_step_before_a_batch_that_cannot_be_read_is_taken(monkeypatch):
    def fail(x, random):
        if len(taken.seen) > 1:
            raise OSError("the disk is gone")
        return x

    taken = OnlyWatch()
    trainer = make_trainer([taken])
    data = batches(trainer)
    monkeypatch.setattr("xnn.data.batches._BLOCK", 3)
    data.augment = fail
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(data, epochs=1)
    assert len(taken.seen) == trainer.step == 3


@pytest.mark.parametrize("train", [False, True])
def test_a_look_at_another_image_meanwhile_sees_that_image(train):
    class Look(OnlyWatch):
        only_watches = True

        def step_end(self, trainer):
            super().step_end(trainer)
            found, _ = trainer.model.forward(other, train=train)
            model = make_trainer([]).model
            model.load_state_dict(trainer.model.state_dict())
            np.testing.assert_array_equal(found, model(other))

    other = np.ones((1, 16, 16, 1), np.float32)
    looking, plain = Look(), OnlyWatch()
    for watch in (looking, plain):
        trainer = make_trainer([watch])
        trainer.fit(batches(trainer), epochs=1)
    np.testing.assert_array_equal(looking.seen, plain.seen)


def test_a_loader_may_use_its_array_again():
    class Reusing:
        """Puts every batch into one array."""

        def __init__(self, data):
            self.data, self.images = data, data.images
            self.x = np.empty((1, 16, 16, 1), np.float32)

        def __len__(self):
            return len(self.data)

        def epoch(self, epoch, start=0):
            for x, labels in self.data.epoch(epoch, start):
                self.x[...] = x
                yield self.x, labels

    trained = []
    for wrap in (Reusing, lambda data: data):
        trainer = make_trainer([])
        trainer.fit(wrap(batches(trainer)), epochs=2)
        trained.append(trainer.model.parameters.flat)
    np.testing.assert_array_equal(*trained)


def test_a_model_that_does_something_else_first_is_left_alone():
    class Twice(nn.Sequential):
        def forward(self, x, train=False):
            return super().forward(2 * x, train)

    for model in (Twice(nn.Flatten(), nn.Linear(257)), nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(257))):
        model.build((16, 16, 1), backend="numpy")
        trainer = Trainer(model, optim.SGD(model, lr=0.1))
        for _ in looking_ahead(trainer, batches(trainer)):
            assert all(parameter.ahead is None for parameter in model._all_parameters.values())
