"""Training image by image with the next image in sight.

A step reads a large first weight twice: for its update, and for the next step's product. Told what the next step begins
with, the optimizer makes that product of each row it has just updated (`xnn.kernels.outer_update`), bit for bit what
the layer would have made later. Nobody may change the weight in between, so callbacks have to say that they do not.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING

from xnn import nn
from xnn._typing import Array
from xnn.data import Batches
from xnn.nn.parameters import Parameter
from xnn.training.callbacks import Callback
from xnn.training.loaders import ArrayBatches, Loader

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer

_HOOKS = ("step_end", "interval")
"""What callbacks are called with between two steps of an epoch."""


def looking_ahead(trainer: "Trainer", data: Loader) -> Generator[tuple[Array, Array], None, None]:
    """Yield the batches of the rest of the present epoch; to be closed after use.

    Where it is of use, and all callbacks only watch, the first weight knows the next batch while the present one is
    used. Another program's `Loader` may use one array for all batches, and is not asked for the next one early.
    """
    batches = data.epoch(trainer.epoch, trainer.batch)
    weight = _first_weight(trainer.model) if trainer.optimizer.takes_outers else None
    if weight is None or type(data) not in (Batches, ArrayBatches) or not all(map(_only_watches, trainer.callbacks)):
        yield from batches
        return
    try:
        present = next(batches, None)
        while present is not None:
            try:
                following, error = next(batches, None), None
            except Exception as caught:  # noqa: BLE001 - raised after the step before it
                following, error = None, caught
            weight.ahead = None if following is None else following[0]
            yield present
            if error is not None:
                raise error
            present = following
    finally:
        weight.ahead = weight.known = None


def _first_weight(model: nn.Layer) -> Parameter | None:
    """Return the weight that the images themselves are multiplied by, if that is what the model does with them."""
    if type(model) is not nn.Sequential:
        return None
    layer = next((layer for layer in model.layers if type(layer) is not nn.Flatten), None)
    return layer.weight if type(layer) is nn.Linear else None


def _only_watches(callback: Callback) -> bool:
    """Whether a callback has nothing to do inside an epoch, or says of itself that it only watches there."""
    kinds = type(callback).__mro__

    def defined(name: str) -> int:
        return next(position for position, kind in enumerate(kinds) if name in vars(kind))

    def is_harmless(hook: str) -> bool:
        # A base class cannot answer for what a subclass or an object has overridden.
        says_so = type(callback).only_watches and defined("only_watches") <= defined(hook)
        return hook not in vars(callback) and (says_so or kinds[defined(hook)] is Callback)

    return all(map(is_harmless, _HOOKS))
