"""Training a part of the model less and less, and not at all after some epochs."""

from typing import TYPE_CHECKING

from xnn._typing import Array
from xnn.training.callbacks import Callback

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer


class FadeOut(Callback):
    """Lowers the learning rate of one parameter to zero over the first epochs, then freezes it.

    With N steps in these epochs, step i (0, 1, ...) keeps the share 1 - i / N of the optimizer's change. If a step is
    proportional to the learning rate, this amounts to that share of the rate. A weight average sees the whole step.

    Put it before callbacks that save.

    Parameters
    ----------
    name
        Of the parameter.
    epochs
        How many, counting those done before a resume.

    Examples
    --------
    >>> from xnn import nn, optim, training
    >>> from xnn.training.freezing import FadeOut
    >>> model = nn.Linear(2).build((1,), backend="numpy")
    >>> trainer = training.Trainer(model, optim.SGD(model, lr=1.0), callbacks=[FadeOut("bias", epochs=2)])
    >>> history = trainer.fit(([[-1.0], [1.0]], [0, 1]), epochs=3)
    >>> model.weight.trainable, model.bias.trainable
    (True, False)
    """

    def __init__(self, name: str, epochs: int) -> None:
        self.name = name
        self.epochs = epochs
        self._before: Array | None = None

    def epoch_begin(self, trainer: "Trainer") -> None:
        """Freeze from that epoch on."""
        if trainer.epoch >= self.epochs:
            trainer.model.freeze(self.name)
            self._before = None
        else:
            self._before = self._copy(trainer)

    def step_end(self, trainer: "Trainer") -> None:
        """Take back a part of the step."""
        if self._before is None:
            return
        share = 1.0 - (trainer.step - 1) / (self.epochs * trainer.batches)
        value = trainer.model.parameters[self.name]
        value[...] = self._before + share * (value - self._before)
        self._before = self._copy(trainer)

    def _copy(self, trainer: "Trainer") -> Array:
        return trainer.model.backend.xp.asarray(trainer.model.parameters[self.name], copy=True)
