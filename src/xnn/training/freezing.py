"""Freezing a part of the model after some epochs."""

from typing import TYPE_CHECKING

from xnn.training.callbacks import Callback

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer


class FreezeAfter(Callback):
    """Stops training some parameters once so many epochs are done, also those done before a resume.

    Parameters
    ----------
    name
        Of a parameter, or the beginning of names, as `nn.Layer.freeze` takes it.
    epochs
        How many.
    """

    def __init__(self, name: str, epochs: int) -> None:
        self.name = name
        self.epochs = epochs

    def epoch_begin(self, trainer: "Trainer") -> None:
        """Freeze from that epoch on."""
        if trainer.epoch >= self.epochs:
            trainer.model.freeze(self.name)
