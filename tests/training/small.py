"""Small problems and trainers for them."""

import numpy as np

from tests.optim.table import OPTIMIZERS
from xnn import nn, optim
from xnn.backends import backend as make_backend
from xnn.training import Trainer
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
