"""Statistics of batch normalization for training that is too short for running averages."""

from itertools import islice
from typing import TYPE_CHECKING

from xnn import nn
from xnn.training.callbacks import Callback
from xnn.training.loaders import Loader, closing

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer

BATCHES = 20
"""Most batches that statistics are taken over: as many as count in a running average with a momentum of 0.1."""


class RenewStatistics(Callback):
    """Takes the statistics of batch normalization anew at the end of each epoch, before it is judged.

    They are those of the epoch's first batches, so they depend on nothing but the weights and the data: training that
    is resumed has the same. An average of the weights gets its own. The weights do not change.

    Put it before callbacks that save.

    Parameters
    ----------
    batches
        What is trained on.

    Examples
    --------
    >>> import numpy as np
    >>> import xnn
    >>> from xnn import nn, optim, training
    >>> from xnn.training.renewing import RenewStatistics
    >>> model = nn.Sequential(nn.BatchNorm(), nn.Linear(2)).build((1,), backend="numpy")
    >>> batches = training.ArrayBatches(
    ...     np.asarray([[1.0], [3.0]]), np.asarray([0, 1]), 2, backend=model.backend, dtype="float32", shuffle=False
    ... )
    >>> trainer = training.Trainer(model, optim.SGD(model, lr=0.1), callbacks=[RenewStatistics(batches)])
    >>> history = trainer.fit(batches, epochs=1)
    >>> model.buffers["0.running_mean"]  # the mean; a running average would be at 0.2 after a single step
    array([2.], dtype=float32)
    """

    def __init__(self, batches: Loader) -> None:
        self.batches = batches

    def step_end(self, trainer: "Trainer") -> None:
        """Take them after the last step of an epoch."""
        if trainer.batch < trainer.batches:
            return
        self._renew(trainer)
        average = trainer.average
        if average is not None:
            with average.applied():
                self._renew(trainer)
                renewed = trainer.model.backend.xp.asarray(trainer.model.buffers.flat, copy=True)
            average.average.buffers[...] = renewed

    def _renew(self, trainer: "Trainer") -> None:
        # Closed at once: what else is computed in this step is of another batch.
        with closing(trainer.team.shared(self.batches).epoch(trainer.epoch)) as batches:
            nn.renew_statistics(trainer.model, (x for x, *_ in islice(batches, BATCHES)))
