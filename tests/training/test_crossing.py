"""A run that goes on with another array library: what is carried over, and that it ends where it would have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.optim.table import WITH_MUON
from tests.training.small import StopAt, comparable
from tests.training.watching import random_images
from xnn import data, nn, optim
from xnn.backends import backend as make_backend
from xnn.runs import checkpoints
from xnn.training import Trainer

STEPS, EPOCHS = 4, 2
SHAPE, CLASSES = (6, 5, 2), 7
AUGMENT = data.Compose((data.AlternatingFlip(), data.RandomCrop(1, "reflect"), data.Cutout(2)))
MIX = data.RandomChoice((data.MixUp(), data.CutMix()))
# Whole runs, of each optimizer on each backend.
FEW = settings(max_examples=max(settings().max_examples // 5, 1))
optimizers = pytest.mark.parametrize("optimizer", WITH_MUON)


@pytest.fixture(scope="module")
def split():
    return data.Split(*random_images(19, SHAPE, CLASSES))


def make(backend, split, optimizer, dtype="float64", stop=None):
    """A trainer with whatever has a state or a place in a random stream, and its batches."""
    backend = make_backend(backend)
    # No bias where batch normalization follows: its gradient is rounding alone, and Adam would blow that up.
    model = nn.Sequential(
        nn.Conv2d(4, 3, padding="same", bias=False), nn.BatchNorm(), nn.GELU(), nn.MaxPool2d(2), nn.Dropout(0.2),
        nn.Flatten(), nn.Linear(8), nn.Tanh(), nn.Linear(CLASSES),
    ).build(SHAPE, backend=backend, seed=1, dtype=dtype)  # fmt: skip
    trainer = Trainer(
        model,
        WITH_MUON[optimizer](model, weight_decay=1e-3),
        schedule=optim.schedules.Cosine(0.01, STEPS * EPOCHS, warmup_steps=2),
        loss=nn.SoftmaxCrossEntropy(label_smoothing=0.1),
        penalty=nn.L2Penalty(1e-3),
        clip_norm=1.0,
        average=optim.ExponentialMovingAverage(model, 0.8),
        callbacks=[StopAt(stop)],
    )
    options = {"backend": backend, "normalization": data.Normalization.of(split), "dtype": dtype, "seed": 2}
    return trainer, data.Batches(split, 5, augment=AUGMENT, mix=MIX, classes=CLASSES, **options)


def passed_on(trainer, to, folder):
    """Have another trainer go on from a checkpoint file of one, and return what the file holds."""
    saved = checkpoints.load(checkpoints.save(folder, *trainer.state_dict()))
    to.load_state_dict(saved.arrays, saved.info)
    return saved


@optimizers
@FEW
@given(stop=st.integers(1, STEPS * EPOCHS - 1), dtype=st.sampled_from(["float32", "float64"]), way=st.booleans())
def test_a_checkpoint_holds_the_same_on_every_backend(backend, split, tmp_path_factory, optimizer, stop, dtype, way):
    """To the bit, in both directions: so what is carried over is not rounded or reordered."""
    here, there = ("numpy", backend) if way else (backend, "numpy")
    first, batches = make(here, split, optimizer, dtype, stop)
    first.fit(batches, epochs=EPOCHS)
    assert first.step == stop
    second, _ = make(there, split, optimizer, dtype)
    saved = passed_on(first, second, tmp_path_factory.mktemp("checkpoints"))
    assert any(name.startswith("optimizer/") for name in saved.arrays) == (optimizer != "sgd")
    assert comparable(*second.state_dict()) == comparable(saved.arrays, saved.info)


@optimizers
@FEW
@given(stops=st.sets(st.integers(1, STEPS * EPOCHS - 1), min_size=1, max_size=2))
def test_a_run_that_moves_between_backends_ends_where_it_would_have(backend, split, tmp_path_factory, optimizer, stops):
    """Anywhere in an epoch, and back again; apart from the rounding of float64."""
    whole, batches = make("numpy", split, optimizer)
    whole.fit(batches, batches, epochs=EPOCHS)
    expected, expected_info = whole.state_dict()

    trainer = None
    folder = tmp_path_factory.mktemp("checkpoints")
    for number, stop in enumerate([*sorted(stops), None]):
        successor, batches = make(("numpy", backend)[number % 2], split, optimizer, stop=stop)
        if trainer is not None:
            passed_on(trainer, successor, folder)
        trainer = successor
        trainer.fit(batches, batches, until=EPOCHS)
    arrays, info = trainer.state_dict()
    assert (info["epoch"], info["step"]) == (EPOCHS, STEPS * EPOCHS)
    assert info["random_counter"] == expected_info["random_counter"]
    assert info["optimizer_steps"] == info["average_steps"] == STEPS * EPOCHS
    for name, array in expected.items():
        np.testing.assert_allclose(arrays[name], array, rtol=1e-7, atol=1e-9, err_msg=name)
    for row, expected_row in zip(info["history"], expected_info["history"], strict=True):
        for column in ("train_loss", "train_accuracy", "validation_loss", "lr"):
            assert row[column] == pytest.approx(expected_row[column], rel=1e-8), column
