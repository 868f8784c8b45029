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
