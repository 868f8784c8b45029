"""Any number of ranks trains as one does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.distributed.threads import worlds
from xnn import data, nn, optim
from xnn import functional as F
from xnn.errors import NonFiniteLoss
from xnn.training import Callback, Trainer
from xnn.training.loaders import ArrayBatches

SHAPE, CLASSES = (8, 6, 2), 4
FEW = settings(max_examples=max(settings().max_examples // 3, 2))


def bare(layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(CLASSES))


NETWORKS = {
    "linear": lambda: bare([]),
    "conv": lambda: bare([nn.Conv2d(4, 3), nn.ReLU(), nn.MaxPool2d(2)]),
    "batch norm": lambda: bare(
        [nn.Conv2d(4, 3, bias=False), nn.BatchNorm(), nn.GELU(), nn.Conv2d(3, 3, bias=False), nn.BatchNorm()]
    ),
    "dropout": lambda: bare([nn.Conv2d(4, 3), nn.Tanh(), nn.Dropout(0.4), nn.Flatten(), nn.Linear(9), nn.Dropout(0.2)]),
    "residual": lambda: bare(
        [
            nn.Conv2d(6, 3, bias=False),
            nn.Residual(nn.Sequential(nn.Conv2d(6, 3, padding=1, bias=False), nn.BatchNorm())),
            nn.ReLU(),
            nn.LayerNorm(eps=0.1),
        ]
    ),
}
OPTIMIZERS = {
    "sgd": lambda model: optim.SGD(model, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda model: optim.AdamW(model, 0.01),
    "muon": lambda model: optim.Groups(*muon_and_rest(model)),
}


def muon_and_rest(model):
    hidden, rest = optim.split(model, lambda name, shape: len(shape) >= 2)
    return optim.Muon(hidden, lr=0.05), optim.SGD(rest, lr=0.1)


class Stop(Callback):
    def __init__(self, steps):
        self.steps = steps

    def step_end(self, trainer):
        if trainer.step == self.steps:
            trainer.request_stop("enough")


def trained(world, network, optimizer, batch_size, images, dtype, steps=3, **options):
    """Return the parameters, the buffers and the history after some steps."""
    random = np.random.default_rng(7)
    x, labels = random.normal(size=(images, *SHAPE)), random.integers(0, CLASSES, images)
    model = NETWORKS[network]().build(SHAPE, backend="numpy", seed=1, dtype=dtype)
    average = optim.ExponentialMovingAverage(model, 0.9)
    trainer = Trainer(
        model, OPTIMIZERS[optimizer](model), average=average, penalty=nn.L2Penalty(1e-3), world=world,
        callbacks=[Stop(steps)], **options,
    )  # fmt: skip
    batches = ArrayBatches(x, labels, batch_size, backend=model.backend, dtype=dtype, seed=3)
    trainer.fit(batches, batches, epochs=steps)
    return model.parameters.flat.copy(), model.buffers.flat.copy(), average.average.parameters, trainer


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
@FEW
@given(
    size=st.integers(1, 5), batch_size=st.integers(2, 9), images=st.integers(6, 20), clip=st.sampled_from([None, 0.5])
)
def test_ranks_train_as_one_does(network, optimizer, size, batch_size, images, clip):
    arguments = network, optimizer, batch_size, images, "float64"
    alone = trained(None, *arguments, clip_norm=clip)
    for found in worlds(size, lambda world: trained(world, *arguments, clip_norm=clip)):
        scale = max(float(np.max(np.abs(alone[0]))), 1.0)
        for one, other in zip(found[:3], alone[:3], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=(1e-6 if optimizer == "muon" else 1e-10) * scale)
        assert len(found[3].history) == len(alone[3].history)
        for row, expected in zip(found[3].history, alone[3].history, strict=True):
            for name, value in expected.items():
                if name != "seconds" and "per_second" not in name:
                    assert row[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("network", NETWORKS)
@FEW
@given(size=st.integers(2, 4), batch_size=st.integers(2, 9))
def test_in_float32_they_agree_to_rounding_and_repeat_themselves(network, size, batch_size):
    arguments = network, "sgd", batch_size, 12, "float32"
    alone = trained(None, *arguments)
    first, *others = worlds(size, lambda world: trained(world, *arguments))
    scale = float(np.max(np.abs(alone[0])))
    np.testing.assert_allclose(first[0], alone[0], rtol=0, atol=1e-5 * scale)
    for other in others:
        np.testing.assert_array_equal(other[0], first[0])
    again = worlds(size, lambda world: trained(world, *arguments))
    np.testing.assert_array_equal(again[0][0], first[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@FEW
@given(size=st.integers(2, 5), batch_size=st.integers(1, 9))
def test_with_local_batch_norm_running_statistics_are_the_average_of_the_ranks(dtype, size, batch_size):
    """Of a network that begins with batch norm, they do not depend on how the images are shared out, but for the mean
    of the variances, which leaves out how the ranks' means differ."""
    x = np.random.default_rng(7).normal(3.0, 2.0, size=(18, 5))

    def work(world, sync):
        model = nn.Sequential(nn.BatchNorm(), nn.Linear(3)).build((5,), backend="numpy", seed=1, dtype=dtype)
        average = optim.ExponentialMovingAverage(model, 0.9)
        trainer = Trainer(model, optim.SGD(model, 0.1), average=average, world=world, sync_batch_norm=sync)
        trainer.fit((x, np.arange(18) % 3), epochs=2, batch_size=batch_size)
        return model.parameters.flat, model.buffers["0.running_mean"], model.buffers.flat, average.average.buffers

    alone = work(None, True)
    first, *others = worlds(size, lambda world: work(world, False))
    np.testing.assert_allclose(first[1], alone[1], rtol=1e-9 if dtype == "float64" else 1e-4)
    assert np.all(np.isfinite(first[0]))
    if batch_size >= 2 * size:
        assert not np.allclose(first[2], alone[2], rtol=1e-4)
    for other in others:
        for found, expected in zip(other, first, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_all_stop_when_one_is_asked_to():
    class StopOne(Callback):
        def step_end(self, trainer):
            if trainer.step == 2 and trainer.team.rank == 1:
                trainer.request_stop("a signal", to_resume=True)

    def work(world):
        model = NETWORKS["linear"]().build(SHAPE, backend="numpy", dtype="float64")
        trainer = Trainer(model, optim.SGD(model, 0.1), world=world, callbacks=[StopOne()])
        trainer.fit((np.zeros((20, *SHAPE)), np.zeros(20, np.int64)), epochs=2, batch_size=4)
        return trainer.step, trainer.interrupted, trainer.stop_reason

    found = worlds(3, work)
    assert [each[:2] for each in found] == [(2, True)] * 3
    assert [each[2] for each in found] == ["rank 1 was asked to stop", "a signal", "rank 1 was asked to stop"]


def test_mixed_images_are_the_same_for_any_number_of_ranks():
    random = np.random.default_rng(0)
    split = data.Split(random.integers(0, 256, (24, *SHAPE), dtype=np.uint8), np.arange(24) % CLASSES)
    augment = data.Compose((data.AlternatingFlip(), data.RandomCrop(1, "reflect"), data.Cutout(2), data.ColourJitter()))

    def work(world):
        model = NETWORKS["batch norm"]().build(SHAPE, backend="numpy", seed=1)
        batches = data.Batches(
            split, 7, backend=model.backend, normalization=data.Normalization.of(split), augment=augment,
            mix=data.MixUp(), classes=CLASSES,
        )  # fmt: skip
        trainer = Trainer(model, optim.SGD(model, 0.1), world=world)
        trainer.fit(batches, epochs=2)
        return model.parameters.flat.copy()

    alone = work(None)
    for found in worlds(3, work):
        np.testing.assert_allclose(found, alone, rtol=0, atol=1e-4)


def test_a_rank_may_go_on_alone_after_an_error_in_training():
    class FaultError(Exception):
        pass

    class Faulty(nn.Layer):
        is_broken = True

        def forward(self, x, train=False):
            def pullback(dy, input_gradient=True):
                if self.is_broken:
                    raise FaultError
                return dy

            return x, pullback

    def work(world):
        faulty = Faulty()
        model = nn.Sequential(nn.Linear(5), faulty, nn.Linear(3)).build((4,), backend="numpy", seed=1, dtype="float64")
        x, labels = np.random.default_rng(0).normal(size=(6, 4)), np.arange(6) % 3
        trainer = Trainer(model, optim.SGD(model, 0.1), world=world)
        with pytest.raises(FaultError):
            trainer.fit((x, labels), epochs=1, batch_size=3)
        faulty.is_broken = False
        if world is not None and world.rank == 0:
            output, pullback = model.forward(x, train=True)
            pullback(output)
        trainer.fit((x, labels), epochs=1, batch_size=3)
        return model.parameters.flat

    alone = work(None)
    for found in worlds(2, work):
        np.testing.assert_allclose(found, alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3])
def test_callbacks_and_metrics_compute_by_themselves(size):
    """What they call is no part of a batch, and each rank may call something else."""
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(10, 4)), np.arange(10) % 3

    def loss(model):
        return float(F.softmax_cross_entropy(model.forward(x)[0], labels)[0])

    class Probe(Callback):
        def __init__(self):
            self.found = []

        def step_end(self, trainer):
            self.found.append(loss(trainer.model))

        def interval(self, trainer, row):
            self.found.append(loss(trainer.model))

    class Loss:
        def __init__(self):
            self.sum = 0.0

        def update(self, output, labels):
            self.sum += float(F.softmax_cross_entropy(output, labels)[0])

        def compute(self):
            return self.sum

    def work(world):
        model = nn.Sequential(nn.Linear(3)).build((4,), backend="numpy", seed=1, dtype="float64")
        probes = [Probe()] if world is None or world.rank == 1 else []
        trainer = Trainer(
            model, optim.SGD(model, 0.1), world=world, callbacks=probes, metrics={"sum": Loss()}, log_every=2
        )
        trainer.fit((x, labels), (x, labels), epochs=1, batch_size=3)
        return [probe.found for probe in probes], trainer.history[0]["validation_sum"]

    (expected,), total = work(None)
    results = worlds(size, work)
    assert len(expected) == 4 + 2
    np.testing.assert_allclose(results[1][0], [expected], rtol=1e-10)
    for _, value in results:
        assert value == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("split", [False, True])
def test_ranks_say_where_data_is_not_finite(split):
    x, labels = np.zeros((20, *SHAPE), np.float32), np.arange(20) % CLASSES
    x[7, 0, 0, 0] = np.nan

    def work(world):
        model = NETWORKS["linear"]().build(SHAPE, backend="numpy", seed=1)
        batches = data.Batches(data.Split(x, labels), 4, backend=model.backend) if split else (x, labels)
        trainer = Trainer(model, optim.SGD(model, 0.1), world=world)
        with pytest.raises(NonFiniteLoss, match=r"training data holds NaN or infinity, first in example 7 "):
            trainer.fit(batches, epochs=1, batch_size=4)

    work(None)
    worlds(2, work)
