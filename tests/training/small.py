"""Small problems and trainers for them."""

import numpy as np

from tests.optim.table import OPTIMIZERS
from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.training import Callback, Trainer
from xnn.training.loaders import ArrayBatches


def separable(seed, images=48, inputs=5, classes=3):
    """Points around the corners of a simplex, far apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    x = 0.2 * random.standard_normal((images, inputs))
    x[np.arange(images), labels] += 2.0
    return x, labels


def make_model(backend="numpy", seed=0, inputs=5, classes=3, dropout=0.0, dtype="float64"):
    regular = [nn.Dropout(dropout)] if dropout else []
    model = nn.Sequential(nn.Linear(8), nn.BatchNorm(), nn.ReLU(), *regular, nn.Linear(classes))
    return model.build((inputs,), backend=make_backend(backend), seed=seed, dtype=dtype)


def make_trainer(backend="numpy", seed=0, dropout=0.0, optimizer="sgd", lr=0.05, average=None, **options):
    model = make_model(backend, seed, dropout=dropout)
    ema = None if average is None else optim.ExponentialMovingAverage(model, average)
    return Trainer(model, OPTIMIZERS[optimizer](model, lr), average=ema, **options)


def make_batches(trainer, seed=0, batch_size=7, images=48, shuffle=True):
    x, labels = separable(seed, images)
    model = trainer.model
    return ArrayBatches(x, labels, batch_size, backend=model.backend, dtype=model.dtype, shuffle=shuffle, seed=seed)


def configured(options, **more):
    """Return a trainer with a schedule and a penalty for 3 epochs of 7 batches, and the batches."""
    schedule = optim.schedules.Cosine(0.05, 21, warmup_steps=3)
    trainer = make_trainer(**options, **more, schedule=schedule, penalty=nn.L2Penalty(1e-2))
    return trainer, make_batches(trainer)


class StopAt(Callback):
    """Stops training after a step, to go on some other time; notes the intervals."""

    def __init__(self, step=None):
        self.step = step
        self.rows = []

    def step_end(self, trainer):
        if trainer.step == self.step:
            trainer.request_stop("a test", to_resume=True)

    def interval(self, trainer, row):
        self.rows.append(row)


class Watched:
    """Batches that call ``before_step(n)`` before the n-th one that is taken, from 1, in any epoch."""

    def __init__(self, batches, before_step):
        self.batches, self.before_step, self.images, self.taken = batches, before_step, batches.images, 0

    def __len__(self):
        return len(self.batches)

    def epoch(self, epoch, start=0):
        for batch in self.batches.epoch(epoch, start):
            self.taken += 1
            self.before_step(self.taken)
            yield batch


def without_times(history):
    return [{name: row[name] for name in row if name not in ("seconds", "images_per_second")} for row in history]


def comparable(arrays, info):
    """Return a trainer's state without the clocks' times, its arrays as their types and bytes."""
    info = {name: value for name, value in info.items() if "seconds" not in name}
    written = {name: (str(array.dtype), array.tobytes()) for name, array in arrays.items()}
    return written, info | {"history": without_times(info["history"])}
