"""What training and evaluation measure, without waiting for the device at every step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from xnn._typing import Array
from xnn.backends import Backend
from xnn.training.team import Alone, Team

_MOST_PENDING = 1 << 14
"""Images whose logits may be kept before they are counted or flushed: 6 MiB at 100 classes in float32."""


@dataclass(frozen=True)
class Metrics:
    """The result of one pass over a data set.

    Attributes
    ----------
    loss
        Mean over the images.
    accuracy
        Share of images whose largest logit is their label's. A label that is a distribution over the classes, as after
        mixup, stands for the class with the greatest share, the first of equal ones. None if the targets are neither.
    top5_accuracy
        Share of images whose label is among the five largest logits; None with five classes or fewer.
    images
        How many there were.
    values
        What the trainer's own `metrics` gave, by their names; None for one that is NaN or infinite.

    Examples
    --------
    >>> from xnn import nn, optim, training
    >>> model = nn.Linear(2, weight_initializer=nn.initializers.zeros).build((1,), backend="numpy")
    >>> trainer = training.Trainer(model, optim.SGD(model, lr=1.0))
    >>> metrics = trainer.evaluate(([[0.0], [1.0]], [0, 1]))
    >>> round(metrics.loss, 3), metrics.accuracy, metrics.images  # log 2: both classes are as likely
    (0.693, 0.5, 2)
    """

    loss: float
    accuracy: float | None
    top5_accuracy: float | None
    images: int
    values: Mapping[str, float | None] = field(default_factory=dict)


@dataclass
class Sums:
    """Sums over images; means come from these alone, so they do not depend on the batch size.

    `correct` and `top5` count images; they are None if such a count has no meaning.
    """

    loss: float = 0.0
    images: int = 0
    correct: int | None = 0
    top5: int | None = 0

    def metrics(self) -> Metrics:
        """Return the means; `images` must not be 0."""
        return Metrics(self.loss / self.images, self._share(self.correct), self._share(self.top5), self.images)

    def _share(self, count: int | None) -> float | None:
        return None if count is None else count / self.images

    def add(self, correct: int | None, top5: int | None) -> None:
        """Add counts; None stays None."""
        self.correct = None if correct is None or self.correct is None else self.correct + correct
        self.top5 = None if top5 is None or self.top5 is None else self.top5 + top5


def ranks(xp: Any, logits: Array, labels: Array) -> Array:
    """Return how many classes come before each image's label when its logits are sorted, equal ones by index.

    logits: (n, c), labels: (n,) integer -> (n,) int64. A row with NaN counts as ranked last.
    """
    classes = logits.shape[1]
    # In int64, since a narrower type of labels might not hold all the classes.
    index = xp.arange(classes, dtype=xp.int64, device=labels.device)[None, :]
    own_index = xp.astype(labels, xp.int64)[:, None]
    own = xp.sum(xp.where(index == own_index, logits, xp.zeros_like(logits)), axis=1, keepdims=True)
    behind = (logits < own) | ((logits == own) & (index > own_index))
    return classes - 1 - xp.sum(xp.astype(behind, xp.int64), axis=1)


class _Counted(NamedTuple):
    """Batches whose logits are no longer needed, all arrays on the device."""

    losses: Array
    sizes: list[int]
    hits: list[Array]
    """How many labels were ranked first, and how many among the first five; shorter if that has no meaning."""


class Meter:
    """Collects losses and logits of batches on the device and adds them to sums when asked to.

    Only `flush` reads from the device. Losses are added one by one in float64 on the host, so that the sums do not
    depend on when it is called. With `distributions`, labels (n, c) of floats are distributions over the classes;
    without, they are targets of another kind, which have no accuracy. With a `team`, each loss is that of the whole
    batch, and all ranks add up how many of their labels are right.
    """

    def __init__(
        self, backend: Backend, top5: bool = False, distributions: bool = False, team: Team | None = None
    ) -> None:
        self.backend = backend
        self.top5 = top5
        self.distributions = distributions
        self.team: Team = Alone() if team is None else team
        self._counted: list[_Counted] = []
        self._batches: list[tuple[Array, Array, Array, int]] = []
        self._images = 0

    def add(self, loss: Array, logits: Array, labels: Array) -> bool:
        """Note one batch; return whether it is time to `flush`.

        It never is on a device, which counts by itself and frees the logits; on NumPy reading costs nothing.
        """
        images = self.team.images(labels)
        self._batches.append((loss, logits, labels, images))
        self._images += images
        is_full = self._images > _MOST_PENDING
        if is_full and self.backend.library != "numpy":
            self._count()
            return False
        return is_full

    def flush(self, *sums: Sums) -> list[float]:
        """Add what was noted to each of `sums`, and return the losses of those batches."""
        self._count()
        if not self._counted:
            return []
        counted, self._counted = self._counted, []
        xp = self.backend.xp
        # Give the device all of its work before waiting for it.
        stacked = xp.concat([part.losses for part in counted])
        hits = [xp.stack(kind) for kind in zip(*(part.hits for part in counted), strict=True)]
        losses: list[float] = self.backend.to_numpy(stacked).tolist()
        counts = self.team.totals([int(self.backend.to_numpy(kind).sum()) for kind in hits])
        correct, top5 = [*counts, None, None][:2]
        sizes = [size for part in counted for size in part.sizes]
        for total in sums:
            for loss, size in zip(losses, sizes, strict=True):
                total.loss += loss * size
            total.images += sum(sizes)
            total.add(correct, top5)
        return losses

    def _count(self) -> None:
        """Reduce what was noted to a few numbers, on the device."""
        if not self._batches:
            return
        losses, logits, labels, sizes = zip(*self._batches, strict=True)
        self._counted.append(_Counted(self.backend.xp.stack(losses), list(sizes), self._hits(logits, labels)))
        self._batches, self._images = [], 0

    def _hits(self, all_logits: tuple[Array, ...], all_labels: tuple[Array, ...]) -> list[Array]:
        xp = self.backend.xp
        if self.distributions:
            all_labels = tuple(_likeliest(xp, labels) for labels in all_labels)
        if not is_classification(xp, all_logits[0], all_labels[0]):
            return []
        logits, labels = xp.concat(all_logits), xp.concat(all_labels)
        if self.top5 and logits.shape[1] > 5:
            rank = ranks(xp, logits, labels)
            return [_total(xp, rank == 0), _total(xp, rank < 5)]
        return [_total(xp, xp.argmax(logits, axis=1) == labels)]


def is_classification(xp: Any, logits: Array, labels: Array) -> bool:
    """Whether `labels` are class indices for `logits` (n, c)."""
    return logits.ndim == 2 and labels.ndim == 1 and bool(xp.isdtype(labels.dtype, "integral"))


def _likeliest(xp: Any, labels: Array) -> Array:
    """Return labels (n,) as they are, and of distributions (n, c) the class with the greatest share."""
    is_distribution = labels.ndim == 2 and xp.isdtype(labels.dtype, "real floating")
    return xp.argmax(labels, axis=1) if is_distribution else labels


def _total(xp: Any, mask: Array) -> Array:
    return xp.sum(xp.astype(mask, xp.int64))
