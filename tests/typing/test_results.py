"""Ordinary code with what xnn takes and returns: it runs, and mypy has nothing to say against it."""

from typing import Any

import numpy as np
import numpy.typing as npt

import xnn
from xnn import functional as F
from xnn import nn, optim, testing, training
from xnn.typing import Array, ArrayObject, Pullback, Shape


class Doubled(nn.Layer):
    """A layer with the library's own hints."""

    def forward(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        def pullback(dy: Array, input_gradient: bool = True) -> Array | None:
            return 2.0 * dy if input_gradient else None

        return 2.0 * x, pullback


class Halved(nn.Layer):
    """A layer for NumPy alone, as its hints say."""

    def initialize(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: npt.NDArray[Any], train: bool = False) -> tuple[npt.NDArray[Any], Pullback]:
        return x / 2.0, lambda dy, input_gradient=True: dy / 2.0 if input_gradient else None


class LargestError:
    """A metric for NumPy alone."""

    def __init__(self) -> None:
        self.largest = 0.0

    def update(self, output: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
        self.largest = max(self.largest, float(np.abs(output - labels).max()))

    def compute(self) -> float:
        return self.largest


def as_row(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return x.reshape(1, -1)


def mean_square(x: ArrayObject) -> float:
    value, _ = F.mse(x, x * 0.0)
    return float(value)


def test_results_are_arrays_of_the_users_own_library() -> None:
    x = np.ones((4, 3), np.float32)
    model = nn.Sequential(nn.Linear(2), Doubled(), Halved()).build((3,), backend="numpy")
    y = model.predict(x)
    assert model.predict(x.tolist()).argmax(-1).shape == (4,)
    assert np.asarray(y).shape == model(x).shape == (4, 2)
    assert float(y.mean()) == float(np.mean(y))
    assert bool((y[0] + 1 > y[0]).all())
    assert as_row(y).shape == (1, 8)
    assert abs(1.0 - model.predict_proba(x).sum(axis=-1)).max() < 1e-6
    assert model.parameters["0.weight"].std() > 0.0


def test_functions_and_pullbacks() -> None:
    x = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    y, pullback = F.relu(x)
    assert pullback(np.ones_like(y)).T.shape == (3, 2)
    loss, back = F.softmax_cross_entropy(x, np.array([0, 2]))
    assert float(loss) > 0.0
    assert abs(back().sum()) < 1e-12
    total, _ = F.sum_losses(loss, np.mean(x * x))
    assert total > loss
    assert mean_square(x) == float(np.mean(x * x))
    joined, _ = F.concatenate([x, y])
    assert joined.shape == (2, 6)
    assert optim.orthogonalize(x).dtype == x.dtype
    testing.check_layer(Doubled(), (3,), x=x)


def test_training() -> None:
    random = np.random.default_rng(0)
    x, targets = random.standard_normal((8, 3)), random.standard_normal((8, 2))
    model = nn.Linear(2).build((3,), backend="numpy")
    trainer = training.Trainer(model, optim.SGD(model, 0.1), loss=nn.MSE(), metrics={"largest": LargestError()})
    history = trainer.fit((x, targets), (x, targets.tolist()), epochs=1, batch_size=4)
    assert history[-1]["train_loss"] > 0.0
    assert (trainer.evaluate((x, targets)).values["largest"] or 0.0) > 0.0
    assert trainer.evaluate((x, targets, np.ones(8))).loss > 0.0


def test_splits_and_batches() -> None:
    split = xnn.data.Split(np.zeros((4, 2, 2, 1), np.uint8), [0, 1, 0, 1])
    assert split.labels.tolist() == [0, 1, 0, 1]
    batches = xnn.data.Batches(split, 2, backend=xnn.backend("numpy"))
    for images, labels in batches.epoch(0):
        assert images.astype(np.float64).shape == (2, 2, 2, 1)
        assert labels.max() <= 1
