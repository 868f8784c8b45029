"""A saved model's answers for all images of a split, and statistics about them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from xnn import nn
from xnn.data import Batches, Dataset, Split
from xnn.data.splits import HostArray
from xnn.errors import DataError, RunError, some
from xnn.functional import softmax
from xnn.reporting.saved import SavedModel
from xnn.reporting.values import short
from xnn.runs.assembly import EVALUATION_BATCH
from xnn.training.calibration import Calibration, calibration
from xnn.training.metrics import Sums
from xnn.training.scores import ClassScores, class_scores
from xnn.training.view_averaging import predictor

Counts = npt.NDArray[np.int64]

MOST_COUNTED = 1000
"""Most classes for which a confusion matrix is made, since it grows with their square."""
_MOST_LOGITS = 2**22
"""Most logits in a batch, so that a model with very many classes does not fill the memory."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's answers.

    Attributes
    ----------
    classes : tuple of str
        The names of the model's outputs.
    labels, predicted : (n,) int64 arrays
        Each image's own class, and the class that the model gave it.
    confidence, own : (n,) float64 arrays
        The probabilities that the model gave to the predicted class and to the image's own class.
    loss : float
        Mean cross-entropy, with the label smoothing that the model was trained with, as in result.json.
    ranks : (n,) int64 array
        How many classes the model found likelier than the image's own class.

    Examples
    --------
    >>> import xnn
    >>> from xnn import data, nn, reporting
    >>> digits = data.load("digits")
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(10)).build((8, 8, 1), backend="numpy")
    >>> normalization = data.Normalization.of(digits.train)
    >>> saved = reporting.SavedModel(model, (8, 8, 1), digits.classes, normalization, xnn.Settings())
    >>> answers = reporting.evaluate(saved, digits.test)
    >>> answers.images, answers.confusion.shape, int(answers.confusion.sum())
    (360, (10, 10), 360)
    """

    classes: tuple[str, ...]
    labels: Counts
    predicted: Counts
    confidence: HostArray
    own: HostArray
    ranks: Counts
    loss: float

    @property
    def images(self) -> int:
        """How many images there were."""
        return len(self.labels)

    @property
    def accuracy(self) -> float:
        """Share of images that were given their own class."""
        return int(np.sum(self.predicted == self.labels)) / self.images

    @property
    def top5_accuracy(self) -> float | None:
        """Share of images whose class is among the five likeliest; None with five classes or fewer."""
        return int(np.sum(self.ranks < 5)) / self.images if len(self.classes) > 5 else None

    @cached_property
    def confusion(self) -> Counts:
        """(c, c): how many images of the class of the row were given the class of the column.

        Its size is the square of the number of classes, so ask for it with at most `MOST_COUNTED`.
        """
        count = len(self.classes)
        return np.bincount(self.labels * count + self.predicted, minlength=count * count).reshape(count, count)

    @property
    def totals(self) -> Counts:
        """(c,): how many images each class has."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @cached_property
    def scores(self) -> ClassScores:
        """Precision, recall and F1 of each class."""
        return class_scores(self.labels, self.predicted, len(self.classes))

    @cached_property
    def calibration(self) -> Calibration:
        """How often answers of each confidence are right, in 15 bins."""
        return calibration(self.confidence, self.predicted == self.labels)

    def confident_mistakes(self, most: int) -> Counts:
        """Return the positions of at most `most` mistakes, those of which the model was most certain first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        order = np.argsort(-self.confidence[wrong], kind="stable")
        return wrong[order[:most]]

    def frequent_confusions(self, most: int) -> list[tuple[int, int, int]]:
        """Return (class, mistaken for, how often) for the most frequent pairs; among equals, the first classes."""
        wrong = self.predicted != self.labels
        pairs, counts = np.unique(self.labels[wrong] * len(self.classes) + self.predicted[wrong], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:most]
        return [(*divmod(int(pairs[i]), len(self.classes)), int(counts[i])) for i in order]


def evaluate(saved: SavedModel, split: Split) -> Evaluation:
    """Run a saved model over a split; the weights stay as they are.

    Parameters
    ----------
    saved : SavedModel
    split : Split
        Images of the model's shape, in uint8, and labels that are numbers of the model's classes.

    Raises
    ------
    DataError
        The images do not have the shape that the model takes, or a label is not one of its classes.
    RunError
        The model's outputs are not finite.
    """
    model = saved.model
    shape, count = tuple(split.images.shape[1:]), len(saved.classes)
    if shape != saved.image_shape:
        raise DataError(f"the images are {_size(shape)}, the model takes {_size(saved.image_shape)}")
    if int(split.labels.min()) < 0 or int(split.labels.max()) >= count:
        raise DataError(f"the data has labels up to {int(split.labels.max())}, the model knows {count} classes")
    options: dict[str, Any] = {"normalization": saved.normalization, "dtype": model.dtype, "shuffle": False}
    size = max(1, min(EVALUATION_BATCH, _MOST_LOGITS // count))
    batches = Batches(split, size, backend=model.backend, **options)
    loss = nn.SoftmaxCrossEntropy(label_smoothing=saved.settings.label_smoothing or 0.0)
    sums, answers, predict = Sums(), [], predictor(model, saved.settings.test_views or 1)
    # Overflows lead to outputs that are not finite, which are reported once.
    with np.errstate(all="ignore"), model.computing():
        for x, labels in batches.epoch(0):
            logits = predict(x)
            value, _ = loss.forward(logits, labels)
            sums.loss += float(value) * int(x.shape[0])
            sums.images += int(x.shape[0])
            answers.append(_answers(model.backend.to_numpy(logits), model.backend.to_numpy(labels)))
    if not math.isfinite(sums.loss):
        raise RunError("the model's outputs are not finite on these images; it is damaged, or its training diverged")
    columns = [np.concatenate(column) for column in zip(*answers, strict=True)]
    predicted, confidence, own, ranks = columns
    labels_of_all = np.asarray(split.labels, np.int64)
    return Evaluation(saved.classes, labels_of_all, predicted, confidence, own, ranks, sums.metrics().loss)


def probabilities(saved: SavedModel, images: HostArray) -> HostArray:
    """Return the model's probabilities (n, classes) in float64 for images (n, h, w, c) of uint8.

    Raises
    ------
    RunError
        They are not finite.
    """
    model = saved.model
    with np.errstate(all="ignore"):  # as above
        x = saved.normalization(model.backend.asarray(images), model.dtype)
        logits = model.backend.to_numpy(predictor(model, saved.settings.test_views or 1)(x))
        result: HostArray = softmax(logits.astype(np.float64))[0]
    if not np.isfinite(result).all():
        raise RunError("the model's outputs are not finite on these images; it is damaged, or its training diverged")
    return result


def _answers(logits: HostArray, labels: HostArray) -> tuple[HostArray, HostArray, HostArray, HostArray]:
    rows = np.arange(len(labels))
    p, _ = softmax(logits.astype(np.float64))
    predicted, own = logits.argmax(axis=1), logits[rows, labels][:, None]
    # Equal logits rank by index, as in the metrics of training.
    before = (logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None]))
    return predicted.astype(np.int64), p[rows, predicted], p[rows, labels], before.sum(axis=1)


def in_classes_of(saved: SavedModel, dataset: Dataset, split: Split) -> tuple[Split, str | None]:
    """Return a split with labels in terms of the model's classes, and a line about that if it may be surprising.

    Classes are matched by name. If the names differ but their number does not, they are taken in the same order.

    Raises
    ------
    DataError
        The data has classes that the model does not know.
    """
    ours, theirs = saved.classes, dataset.classes
    if theirs == ours:
        return split, None
    if set(theirs) <= set(ours):
        # If names are equal, the first one counts.
        number = {name: place for place, name in reversed(list(enumerate(ours)))}
        place = np.array([number[name] for name in theirs], np.int64)
        return Split(split.images, place[split.labels]), None
    if len(theirs) != len(ours):
        raise DataError(f"{dataset.name} has {len(theirs)} classes, {_named(theirs)}; the model knows {_named(ours)}")
    return split, (
        f"{dataset.name} names its classes differently from the model ({_named(theirs)}; {_named(ours)}): "
        "they are taken in the same order"
    )


def _named(classes: Sequence[str]) -> str:
    return some(map(short, classes))


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
