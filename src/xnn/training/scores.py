"""Metrics beside loss and accuracy: what one is to the trainer, and those that come with xnn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import array_api_compat
import numpy as np
import numpy.typing as npt

from xnn import _checks
from xnn._typing import Array, ArrayObject
from xnn.training.metrics import is_classification, ranks

Scores = npt.NDArray[np.float64]


class Metric(Protocol):
    """A value of a whole data set, taken in batch by batch; a class with these two methods is one.

    Each pass over a data set begins with a copy (`copy.deepcopy`) of the object that the trainer was given, so there is
    nothing to reset.

    Examples
    --------
    >>> from xnn import nn, optim, training
    >>> class LargestLogit:
    ...     def __init__(self):
    ...         self.largest = float("-inf")
    ...
    ...     def update(self, output, labels):
    ...         self.largest = max(self.largest, float(output.max()))
    ...
    ...     def compute(self):
    ...         return self.largest
    >>> model = nn.Linear(2, weight_initializer=nn.initializers.ones).build((1,), backend="numpy")
    >>> trainer = training.Trainer(model, optim.SGD(model, lr=1.0), metrics={"largest": LargestLogit()})
    >>> trainer.evaluate(([[0.0], [2.0]], [0, 1])).values
    {'largest': 2.0}
    """

    def update(self, output: Array, labels: Array) -> None:
        """Take in the model's output for a batch and its labels, arrays on the model's device."""

    def compute(self) -> float:
        """Return the value over all batches so far."""


class TopKAccuracy:
    """Share of the images whose label is among the `k` largest logits; of equal logits, the first ones are larger.

    Parameters
    ----------
    k
        1 or more.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import training
    >>> metric = training.TopKAccuracy(2)
    >>> metric.update(np.asarray([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), np.asarray([1, 2]))
    >>> metric.compute()
    0.5
    """

    def __init__(self, k: int) -> None:
        self.k = _checks.count("k", k, 1)
        self._hits: Any = 0
        self._images = 0

    def update(self, output: ArrayObject, labels: ArrayObject) -> None:
        """Take in a batch: logits (n, classes), labels (n,) of class indices."""
        xp = _namespace(self, output, labels)
        self._hits = self._hits + xp.sum(xp.astype(ranks(xp, output, labels) < self.k, xp.int64))
        self._images += labels.shape[0]

    def compute(self) -> float:
        """Return the share."""
        return int(self._hits) / self._images


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Precision, recall and F1 of each class; made by `class_scores`.

    Attributes
    ----------
    precision
        (c,) of float64: the share of the images predicted to be of a class that are of it.
    recall
        (c,) of float64: the share of a class's images that are predicted to be of it.
    f1
        (c,) of float64: the harmonic mean of the two, 2 · hits / (images predicted to be of the class + images of it).

    All three are NaN for a class that no image has and none is predicted to have. Otherwise a share of nothing is 0, as
    in scikit-learn.

    Examples
    --------
    >>> from xnn import training
    >>> scores = training.class_scores([0, 0, 1], [0, 1, 1], 2)
    >>> scores.precision.tolist(), scores.recall.tolist()
    ([1.0, 0.5], [0.5, 1.0])
    >>> round(scores.macro("f1"), 4)
    0.6667
    """

    precision: Scores
    recall: Scores
    f1: Scores

    @classmethod
    def of_counts(cls, hits: Any, predicted: Any, own: Any) -> "ClassScores":
        """Return the scores for each class's right predictions, its predictions and its images, each (c,)."""
        occurs = predicted + own > 0
        pairs = ((hits, predicted), (hits, own), (2 * hits, predicted + own))
        return cls(*(np.where(occurs, part / np.maximum(whole, 1), np.nan) for part, whole in pairs))

    def macro(self, name: str) -> float:
        """Return the mean of ``precision``, ``recall`` or ``f1`` over the classes that occur (macro average)."""
        return float(np.nanmean(getattr(self, name)))


def class_scores(labels: Any, predicted: Any, classes: int) -> ClassScores:
    """Return precision, recall and F1 of each class.

    Parameters
    ----------
    labels, predicted
        NumPy arrays (n,) of class indices, at least one: each image's own class, and the one that it was given.
    classes
        How many there are.

    Raises
    ------
    ValueError
        The arrays do not fit each other, are empty, or hold something else than class indices.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.ndim != 1 or labels.shape != predicted.shape or not len(labels):
        raise ValueError(
            f"labels and predicted must be two arrays (n,) of one length, not {labels.shape} and {predicted.shape}"
        )
    for name, array in (("labels", labels), ("predicted", predicted)):
        if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= classes:
            raise ValueError(f"{name} must be integers from 0 to {classes - 1}")
    chosen = (labels[labels == predicted], predicted, labels)
    return ClassScores.of_counts(*(np.bincount(array, minlength=classes) for array in chosen))


class _Macro:
    """Base of the means over classes, of counts: hits, how often a class was predicted, how often it was right."""

    score: str

    def __init__(self) -> None:
        self._counts: Any = 0

    def update(self, output: ArrayObject, labels: ArrayObject) -> None:
        """Take in a batch: logits (n, classes), labels (n,) of class indices."""
        xp = _namespace(self, output, labels)
        index = xp.arange(output.shape[1], dtype=xp.int64, device=output.device)[None, :]
        predicted, own = (xp.astype(each, xp.int64)[:, None] == index for each in (xp.argmax(output, axis=1), labels))
        counts = [xp.sum(xp.astype(mask, xp.int64), axis=0) for mask in (predicted & own, predicted, own)]
        self._counts = self._counts + xp.stack(counts)

    def compute(self) -> float:
        """Return the mean over the classes that are any image's label or prediction."""
        rows = (np.array([int(self._counts[i, j]) for j in range(self._counts.shape[1])]) for i in range(3))
        return ClassScores.of_counts(*rows).macro(self.score)


class Precision(_Macro):
    """Share of the images predicted to be of a class that are of it, the mean over the classes (macro average).

    A class that is never predicted has 0, as in scikit-learn. Classes that no image has and none is predicted to have
    do not count.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import training
    >>> metric = training.Precision()
    >>> metric.update(np.asarray([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.asarray([0, 1, 1]))
    >>> metric.compute()  # 1/2 of those predicted to be 0, 1/1 of those predicted to be 1
    0.75
    """

    score = "precision"


class Recall(_Macro):
    """Share of a class's images that are predicted to be of it, the mean over the classes (macro average).

    A class that is predicted but has no image has 0, as in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import training
    >>> metric = training.Recall()
    >>> metric.update(np.asarray([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.asarray([0, 1, 1]))
    >>> metric.compute()  # 1/1 of class 0, 1/2 of class 1
    0.75
    """

    score = "recall"


class F1(_Macro):
    """Harmonic mean of a class's precision and recall, the mean over the classes (macro average).

    Of a class it is 2 · hits / (images predicted to be of it + images of it).

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import training
    >>> metric = training.F1()
    >>> metric.update(np.asarray([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.asarray([0, 1, 1]))
    >>> round(metric.compute(), 4)
    0.6667
    """

    score = "f1"


TAKEN = ("loss", "accuracy", "top5_accuracy")
"""Names of what is measured anyway."""


def check_names(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return the metrics if each can be called by its name, or raise an error that names the one that cannot."""
    for name, metric in metrics.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"a metric's name must be letters, digits and underscores, as in 'f1', not {name!r}")
        if name in TAKEN:
            raise ValueError(f"a metric cannot be called {name!r}, since that is measured anyway")
        missing = [method for method in ("update", "compute") if not callable(getattr(metric, method, None))]
        if missing or isinstance(metric, type):
            wanted = "an object" if isinstance(metric, type) else f"an object with a method {missing[0]}"
            raise TypeError(f"metric {name!r} must be {wanted}, not {metric!r}")
    return dict(metrics)


def _namespace(metric: Any, output: Array, labels: Array) -> Any:
    xp = array_api_compat.array_namespace(output)
    if not is_classification(xp, output, labels):
        raise TypeError(
            f"{type(metric).__name__} needs outputs (n, classes) and labels (n,) of class indices, "
            f"not {tuple(output.shape)} and {tuple(labels.shape)} of {labels.dtype}"
        )
    return xp
