"""Training does not read from the device but where it logs, and sends it nothing but the order of an epoch."""

from itertools import cycle

import numpy as np
import pytest

from tests.nn.examples import EXAMPLES
from tests.optim.table import WITH_MUON
from tests.training.watching import Guarded, random_images, watched
from xnn import data, nn, optim
from xnn.data import batches as batches_module
from xnn.optim import schedules
from xnn.training import Trainer
from xnn.training import trainer as trainer_module
from xnn.training.loaders import ArrayBatches

NAMES = ("torch:cpu", "array_api_strict:device1")
STEPS = 7
LOG_EVERY = 3
# Steps at which losses are read: where it logs, at the end of an epoch, and after the evaluation that follows it.
READ_AT = [3, 6, 7, 7, 9, 12, 14, 14]
SHAPE = (6, 6, 2)


@pytest.fixture(params=NAMES)
def device(request, monkeypatch):
    """A backend and its watch."""
    pytest.importorskip(request.param.partition(":")[0])
    monkeypatch.setattr(trainer_module, "_GLANCE", -1.0)
    # Batches come in blocks; several an epoch here.
    monkeypatch.setattr(batches_module, "_BLOCK", 10)
    with watched(request.param, monkeypatch) as both:
        yield both


def train(trainer, training, held_out, watch):
    """Train for two epochs under the watch."""
    watch.clock = lambda: trainer.step
    guarded = Guarded(training, watch)
    watch.reading = False
    trainer.fit(guarded, held_out, epochs=2)
    watch.reading = True
    assert len(training) == STEPS
    assert watch.read_at == READ_AT
    assert watch.waited_at == [STEPS, 2 * STEPS]


def network():
    return nn.Sequential(
        nn.Conv2d(4, 3, padding="same"), nn.BatchNorm(), nn.GELU(), nn.MaxPool2d(2),
        nn.Residual(nn.Sequential(nn.Conv2d(4, 3, padding="same", groups=2), nn.LayerNorm())),
        nn.Parallel(nn.AvgPool2d(3), nn.MaxPool2d(3)), nn.Dropout(0.2), nn.Flatten(), nn.Linear(7),
    )  # fmt: skip


def image_batches(backend, augment=None, resident=None):
    """A whole training split in blocks, and a held-out one."""
    split = data.Split(*random_images(34, SHAPE, 7))
    options = {"backend": backend, "normalization": data.Normalization.of(split), "resident": resident}
    mix = None if augment is None else MIX
    return data.Batches(split, 5, augment=augment, mix=mix, classes=7, **options), data.Batches(
        split, 8, shuffle=False, **options
    )


AUGMENT = data.Compose(
    (data.AlternatingFlip(), data.HorizontalFlip(), data.RandomCrop(1), data.RandomCrop(1, "reflect"), data.Cutout(3))
)
MIX = data.RandomChoice((data.MixUp(), data.CutMix()))
SCHEDULES = {
    "none": None,
    "constant": schedules.Constant(0.01, warmup_steps=2),
    "step": schedules.Step(0.01, every=4),
    "cosine": schedules.Cosine(0.01, 2 * STEPS, warmup_steps=2),
    "one-cycle": schedules.OneCycle(0.01, 2 * STEPS, warmup_steps=4),
    "linear": schedules.Linear(0.01, 2 * STEPS, warmup_steps=2),
}


@pytest.mark.parametrize(("optimizer", "schedule"), [*zip(WITH_MUON, cycle(SCHEDULES), strict=False)])
def test_a_step_with_everything_on_reads_nothing(device, optimizer, schedule):
    backend, watch = device
    model = network().build(SHAPE, backend=backend, seed=0)
    trainer = Trainer(
        model,
        WITH_MUON[optimizer](model, weight_decay=1e-3),
        schedule=SCHEDULES[schedule],
        loss=nn.SoftmaxCrossEntropy(label_smoothing=0.1),
        penalty=nn.L2Penalty(1e-3),
        clip_norm=0.5,
        average=optim.ExponentialMovingAverage(model, 0.9),
        log_every=LOG_EVERY,
    )
    train(trainer, *image_batches(backend, AUGMENT), watch)
    assert np.isfinite(trainer.history.column("train_loss")).all()


@pytest.mark.parametrize("optimizer", WITH_MUON)
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_lower_precision_and_its_loss_scaling_read_nothing(monkeypatch, precision, optimizer):
    pytest.importorskip("torch")
    monkeypatch.setattr(trainer_module, "_GLANCE", -1.0)
    with watched("torch:cpu", monkeypatch) as (backend, watch):
        model = network().build(SHAPE, backend=backend, seed=0, precision=precision)
        options = {"penalty": nn.L2Penalty(1e-3), "clip_norm": 0.5, "log_every": LOG_EVERY}
        average = optim.ExponentialMovingAverage(model, 0.9)
        trainer = Trainer(model, WITH_MUON[optimizer](model), average=average, **options)
        train(trainer, *image_batches(backend, AUGMENT), watch)


def test_logits_that_fill_the_memory_are_counted_and_not_read(device, monkeypatch):
    monkeypatch.setattr("xnn.training.metrics._MOST_PENDING", 4)
    backend, watch = device
    model = network().build(SHAPE, backend=backend, seed=0)
    train(Trainer(model, optim.SGD(model, 0.1), log_every=LOG_EVERY), *image_batches(backend), watch)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_no_layer_reads(device, example):
    backend, watch = device
    layers = nn.Sequential(example.make(), nn.Flatten(), nn.Linear(3))
    model = layers.build(example.input_shape, backend=backend, seed=0)
    random = np.random.default_rng(0)
    x, labels = random.standard_normal((STEPS * 3, *example.input_shape)), random.integers(0, 3, STEPS * 3)
    training = ArrayBatches(x, labels, 3, backend=backend)
    train(Trainer(model, optim.SGD(model, 0.1), log_every=LOG_EVERY), training, training, watch)


@pytest.mark.parametrize(
    "loss", [nn.BinaryCrossEntropyWithLogits(), nn.MSE(), nn.Huber()], ids=lambda loss: type(loss).__name__
)
def test_no_loss_reads(device, loss):
    backend, watch = device
    model = nn.Sequential(nn.Linear(3)).build((4,), backend=backend, seed=0)
    random = np.random.default_rng(0)
    x, targets = random.standard_normal((STEPS * 3, 4)), random.random((STEPS * 3, 3)).astype("float32")
    training = ArrayBatches(x, targets, 3, backend=backend)
    train(Trainer(model, optim.SGD(model, 0.1), loss=loss, log_every=LOG_EVERY), training, training, watch)


def test_images_that_stay_on_the_host_are_sent_and_nothing_is_read(device):
    backend, watch = device
    model = network().build(SHAPE, backend=backend, seed=0)
    trainer = Trainer(model, optim.SGD(model, 0.1), log_every=LOG_EVERY)
    with pytest.raises(AssertionError, match="sent something by asarray"):
        train(trainer, *image_batches(backend, AUGMENT, resident=False), watch)
    watch.read_at.clear()
    watch.waited_at.clear()
    trainer = Trainer(model, optim.SGD(model, 0.1), log_every=LOG_EVERY)
    watch.send = lambda how: None
    train(trainer, *image_batches(backend, AUGMENT, resident=False), watch)


READS = {
    "float": float,
    "int": int,
    "bool": bool,
    "index": lambda x: [1][x - 1],
    "numpy": np.asarray,
    "minimum": lambda x: min(x, x),
    "if": lambda x: 1 if x > 0 else 2,
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_watch_notices_a_read(device, read):
    backend, watch = device
    one = backend.xp.asarray(1, dtype=backend.xp.int64, device=backend.device)
    watch.reading = False
    with pytest.raises(AssertionError, match="the device was read"):
        read(one)


@pytest.mark.parametrize(
    "read",
    [lambda x: x.item(), lambda x: x.tolist(), lambda x: x.numpy(), lambda x: x[x > 0], lambda x: x.nonzero()],
    ids=["item", "tolist", "numpy", "mask", "nonzero"],
)
def test_the_watch_notices_pytorchs_own_ways_to_read(monkeypatch, read):
    torch = pytest.importorskip("torch")
    with watched("torch:cpu", monkeypatch) as (_, watch):
        watch.reading = False
        with pytest.raises(AssertionError, match="the device was read"):
            read(torch.ones(1))


def test_the_watch_notices_what_is_sent(device):
    backend, watch = device
    watch.sending = False
    for send in (backend.asarray, backend.xp.asarray):
        with pytest.raises(AssertionError, match="sent something"):
            send(np.ones(2))
        send(backend.xp.ones(2))


def test_shapes_that_depend_on_values_are_refused(device):
    backend, watch = device
    x = backend.xp.ones(3, device=backend.device)
    watch.reading = False
    with pytest.raises((AssertionError, RuntimeError), match=r"was read|data-dependent"):
        backend.xp.nonzero(x)
