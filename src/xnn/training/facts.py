"""What ranks that train one model together must have alike, as far as it can be compared."""

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from xnn._version import __version__
from xnn.data.batches import Batches
from xnn.optim import Groups
from xnn.training.loaders import ArrayBatches, Loader, checksum_of

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer

_SETTINGS = ("log_every", "evaluate_every", "clip_norm", "sync_batch_norm")


def facts_of(trainer: "Trainer", train: Loader, validation: Loader | None, total: int) -> dict[str, Any]:
    """Return the facts by what they are called, JSON-able; of several that differ, the first one says most.

    Parameters
    ----------
    trainer : Trainer
    train, validation : Loader
        The data of all ranks together.
    total : int
        After how many epochs in all training ends.
    """
    model = trainer.model
    weights = [model.backend.to_numpy(vector) for vector in (model.parameters.flat, model.buffers.flat)]
    facts = {
        "xnn": __version__,
        "model": [type(model).__name__, weights[0].size, model.dtype, model.precision],
        "seed": model.random.seed,
        "frozen parameters": [name for name, each in model._all_parameters.items() if not each.trainable],
        **_of_part("schedule", trainer.schedule),
        **_of_optimizer(trainer),
        **_of_data(train, "training"),
        **_of_data(validation, trainer.held_out),
        "steps done": [trainer.epoch, trainer.batch, trainer.step],
        "last epoch": total,
        "metrics": list(trainer.metrics),
    }
    facts |= {name: getattr(trainer, name) for name in _SETTINGS}
    for name in ("loss", "held_out_loss", "penalty", "average"):
        facts |= _of_part(name, getattr(trainer, name))
    facts |= _of_part("loss_scaling", None if trainer.scaler is None else trainer.scaler.scaling)
    facts["checksum of the weights"] = hashlib.sha256(b"".join(vector.tobytes() for vector in weights)).hexdigest()
    return facts


def _of_optimizer(trainer: "Trainer") -> dict[str, Any]:
    """Return the hyper-parameters. What a schedule sets, before each step, is none of them."""
    optimizer = trainer.optimizer
    parts = {"optimizer": optimizer}
    if isinstance(optimizer, Groups):
        parts |= {f"optimizer.optimizers[{index}]": each for index, each in enumerate(optimizer.optimizers)}
    facts: dict[str, Any] = {}
    for name, part in parts.items():
        facts |= _of_part(name, part)
        if trainer.schedule is None:
            facts[f"{name}.lr"] = part.lr
    return facts


def _of_part(name: str, part: Any) -> dict[str, Any]:
    """Return the type of a trainer's part, and those of its public attributes that are numbers, words or tuples."""
    facts = {name: None if part is None else getattr(part, "__name__", type(part).__name__)}
    for attribute, value in getattr(part, "__dict__", {}).items():
        if not attribute.startswith("_") and _is_plain(value):
            facts[f"{name}.{attribute}"] = value
    return facts


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | np.generic)


def _of_data(data: Loader | None, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = {f"{name} images": None, f"{name} batches": None}
    if data is not None:
        facts = {f"{name} images": data.images, f"{name} batches": len(data)}
        checksum = None
        if isinstance(data, ArrayBatches):
            checksum = data.checksum()
        elif isinstance(data, Batches):
            images = data.split.images
            checksum = checksum_of(data.split.labels, lambda index: images[index])
            facts[f"{name} shuffling"] = [data.shuffle, data.seed]
        facts[f"checksum of the {name} data"] = checksum
    return facts
