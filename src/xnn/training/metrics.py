"""What training and evaluation measure, without waiting for the device at every step."""

from dataclasses import dataclass
from typing import Any

from xnn._typing import Array
from xnn.backends import Backend

_MOST_PENDING = 1 << 14
"""Images whose logits may wait on the device for a flush: 6 MiB at 100 classes in float32."""


@dataclass(frozen=True)
class Metrics:
    """The result of one pass over a data set.

    Attributes
    ----------
    loss
        Mean over the images.
    accuracy
        Share of images whose largest logit is their label's; None when the targets are not class indices.
    top5_accuracy
        Share of images whose label is among the five largest logits; None with five classes or fewer.
    images
        How many there were.
    """

    loss: float
    accuracy: float | None
    top5_accuracy: float | None
    images: int


@dataclass
class Sums:
    """Sums over images; means come from these alone, so they do not depend on the batch size.

    `correct` and `top5` count images and are None where that has no meaning.
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
        """Add counts, where None stays None."""
        self.correct = None if correct is None or self.correct is None else self.correct + correct
        self.top5 = None if top5 is None or self.top5 is None else self.top5 + top5


def ranks(xp: Any, logits: Array, labels: Array) -> Array:
    """How many classes come before each image's label when its logits are sorted, equal ones by index.

    logits: (n, c), labels: (n,) integer -> (n,) int64. A row with NaN counts as ranked last.
    """
    classes = logits.shape[1]
    # In int64, since a narrower type of labels might not hold all the classes.
    index = xp.arange(classes, dtype=xp.int64, device=labels.device)[None, :]
    own_index = xp.astype(labels, xp.int64)[:, None]
    own = xp.sum(xp.where(index == own_index, logits, xp.zeros_like(logits)), axis=1, keepdims=True)
    behind = (logits < own) | ((logits == own) & (index > own_index))
    return classes - 1 - xp.sum(xp.astype(behind, xp.int64), axis=1)


class Meter:
    """Collects losses and logits of batches on the device and adds them to sums when asked to.

    Losses are added one by one in float64 on the host, so that the sums do not depend on when `flush` was called.
    """

    def __init__(self, backend: Backend, top5: bool = False) -> None:
        self.backend = backend
        self.top5 = top5
        self._clear()

    def _clear(self) -> None:
        self._losses: list[Array] = []
        self._logits: list[Array] = []
        self._labels: list[Array] = []
        self._images = 0

    def add(self, loss: Array, logits: Array, labels: Array) -> bool:
        """Note one batch; returns whether so much waits that it is time to `flush`."""
        self._losses.append(loss)
        self._logits.append(logits)
        self._labels.append(labels)
        self._images += labels.shape[0]
        return self._images > _MOST_PENDING

    def flush(self, *sums: Sums) -> list[float]:
        """Add what was noted to each of `sums`, and return the losses of those batches."""
        if not self._losses:
            return []
        stacked = self.backend.xp.stack(self._losses)
        losses: list[float] = self.backend.to_numpy(stacked).tolist()
        sizes = [labels.shape[0] for labels in self._labels]
        correct, top5 = self._hits()
        for total in sums:
            for loss, size in zip(losses, sizes, strict=True):
                total.loss += loss * size
            total.images += self._images
            total.add(correct, top5)
        self._clear()
        return losses

    def _hits(self) -> tuple[int | None, int | None]:
        xp = self.backend.xp
        if not is_classification(xp, self._logits[0], self._labels[0]):
            return None, None
        logits, labels = xp.concat(self._logits), xp.concat(self._labels)
        if self.top5 and logits.shape[1] > 5:
            rank = ranks(xp, logits, labels)
            return _count(xp, rank == 0), _count(xp, rank < 5)
        return _count(xp, xp.argmax(logits, axis=1) == labels), None


def is_classification(xp: Any, logits: Array, labels: Array) -> bool:
    """Whether `labels` are class indices for `logits` (n, c)."""
    return logits.ndim == 2 and labels.ndim == 1 and bool(xp.isdtype(labels.dtype, "integral"))


def _count(xp: Any, mask: Array) -> int:
    return int(xp.sum(xp.astype(mask, xp.int64)))
