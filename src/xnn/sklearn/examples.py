"""Examples in memory, cut into batches for a training that may take several calls."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from xnn._typing import Array
from xnn.backends import Backend
from xnn.data.by_epoch import begins_mirrored, for_images
from xnn.data.splits import HostArray
from xnn.random import Random
from xnn.training.loaders import ArrayBatches


class Examples(ArrayBatches):
    """Batches of arrays, in an order that goes on from call to call.

    Parameters
    ----------
    *arguments, **options
        Those of `xnn.training.ArrayBatches`.
    first
        Epochs that earlier calls have done: epoch e has the order, and the augmentation, of epoch ``first + e``.
    augment
        ``(x, random) -> x``, a random change to the images of each batch; None leaves them as they are.
    """

    def __init__(
        self, *arguments: Any, first: int = 0, augment: Callable[..., Any] | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._first, self._augment = first, augment

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Array, ...]]:
        """Yield the batches of an epoch, beginning with batch `start`."""
        epoch += self._first
        batches = super().epoch(epoch, start)
        if self._augment is None:
            yield from batches
            return
        order, backend, seed = self._permutation(epoch), self._backend, self._seed
        order = np.arange(self.images) if order is None else order
        for first, (x, *others) in zip(
            range(start * self.batch_size, self.images, self.batch_size), batches, strict=True
        ):
            chosen = order[first : first + self.batch_size]
            begins = partial(_begins, chosen, seed, backend)
            change = for_images(self._augment, begins, epoch)
            yield (x if change is None else change(x, Random(backend, seed, f"augment/{epoch}/{first}"))), *others


def _begins(chosen: HostArray, seed: int, backend: Backend) -> Array:
    """Return whether `AlternatingFlip` mirrors the chosen examples in the first epoch."""
    return backend.asarray(begins_mirrored(chosen, seed), "int64")
