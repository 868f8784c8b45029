"""Saving and restoring the whole state of a `Trainer`.

Everything else that a run depends on (the order of an epoch's images, augmentation, dropout and the learning rate) is a
pure function of its settings and of the counts kept here.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from xnn.errors import some
from xnn.training.history import History
from xnn.training.metrics import Sums
from xnn.training.stopwatch import Stopwatch, working_clock

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer

Arrays = dict[str, np.ndarray[Any, Any]]


def save(trainer: "Trainer") -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays by name and the rest as a JSON-able dict; see `Trainer.state_dict`."""
    model = trainer.model
    arrays = {
        "parameters": model.backend.to_numpy(model.parameters.flat, copy=True),
        "buffers": model.backend.to_numpy(model.buffers.flat, copy=True),
    }
    info: dict[str, Any] = {
        "epoch": trainer.epoch,
        "batch": trainer.batch,
        "step": trainer.step,
        "lr": trainer.optimizer.lr,
        "last_lr": trainer.last_lr,
        "random_counter": model.random.counter,
        "epoch_sums": asdict(trainer.epoch_sums),
        "interval_sums": asdict(trainer.interval_sums),
        "seconds": trainer.clock.elapsed,
        "epoch_seconds": trainer.epoch_clock.elapsed,
        "history": list(trainer.history),
        "layout": model.layout(),
        "dtype": model.dtype,
    }
    if trainer.scaler is not None:
        info["loss_scaling"] = trainer.scaler.state_dict()
    for name, part in _stepped(trainer).items():
        kept = part.state_dict()
        info[f"{name}_steps"] = kept["steps"]
        arrays.update({f"{name}/{slot}": array for slot, array in kept["slots"].items()})
    return arrays, info


def load(trainer: "Trainer", arrays: Mapping[str, np.ndarray[Any, Any]], info: Mapping[str, Any]) -> None:
    """Put back what `save` returned; see `Trainer.load_state_dict`."""
    model = trainer.model
    load_weights(trainer, arrays, info)
    _load_slots("optimizer", trainer.optimizer, arrays, info)
    model.random.counter = info["random_counter"]
    if trainer.scaler is not None:
        # A checkpoint of another precision has no such entry.
        trainer.scaler.load_state_dict(info.get("loss_scaling"))
    trainer.optimizer.lr = info["lr"]
    # Older checkpoints lack it: their `lr` is the last step's, unless somebody has changed it since.
    trainer.last_lr = info.get("last_lr", info["lr"])
    trainer.epoch, trainer.batch, trainer.step = info["epoch"], info["batch"], info["step"]
    trainer.epoch_sums, trainer.interval_sums = Sums(**info["epoch_sums"]), Sums(**info["interval_sums"])
    trainer.clock, trainer.epoch_clock = Stopwatch(info["seconds"]), working_clock(info["epoch_seconds"])
    trainer.history = History(row.copy() for row in info["history"])


def load_weights(trainer: "Trainer", arrays: Mapping[str, np.ndarray[Any, Any]], info: Mapping[str, Any]) -> None:
    """Put back the weights alone, and their average where there is one; what training goes on with stays."""
    model = trainer.model
    _check(trainer, arrays, info)
    if trainer.average is not None:
        _load_slots("average", trainer.average, arrays, info)
    model.parameters.flat[...] = model.backend.asarray(arrays["parameters"])
    model.buffers.flat[...] = model.backend.asarray(arrays["buffers"])


def _load_slots(name: str, part: Any, arrays: Mapping[str, np.ndarray[Any, Any]], info: Mapping[str, Any]) -> None:
    prefix = f"{name}/"
    slots = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
    part.load_state_dict({"steps": info[f"{name}_steps"], "slots": slots})


def _stepped(trainer: "Trainer") -> dict[str, Any]:
    """Return the parts that count steps and keep flat vectors: the optimizer and, if there is one, the average."""
    parts: dict[str, Any] = {"optimizer": trainer.optimizer}
    if trainer.average is not None:
        parts["average"] = trainer.average
    return parts


def _check(trainer: "Trainer", arrays: Mapping[str, np.ndarray[Any, Any]], info: Mapping[str, Any]) -> None:
    """Refuse another model's state before anything has changed."""
    here = [dict(entry, shape=list(entry["shape"])) for entry in trainer.model.layout()]
    there = [dict(entry, shape=list(entry["shape"])) for entry in info["layout"]]
    if here != there:
        different = [f"{a['name']} {a['shape']}" for a in here if a not in there]
        missing = [f"{b['name']} {b['shape']}" for b in there if b not in here]
        raise ValueError(
            f"the state is of another model: this one has {some(different) or 'nothing more'}, "
            f"the saved one {some(missing) or 'nothing more'}"
        )
    if info["dtype"] != trainer.model.dtype:
        raise ValueError(f"the state is of dtype {info['dtype']}, the model of {trainer.model.dtype}")
    for name in ("parameters", "buffers"):
        length, array = int(getattr(trainer.model, name).flat.shape[0]), arrays.get(name)
        if array is None or array.shape != (length,) or array.dtype.name != info["dtype"]:
            found = "none" if array is None else f"{array.dtype} of shape {array.shape}"
            raise ValueError(f"'{name}' should be {length} numbers of {info['dtype']}, found {found}")
    missing = [name for name in _stepped(trainer) if f"{name}_steps" not in info]
    if missing:
        raise ValueError(f"the state does not say how many steps the {missing[0]} has taken")
    if ("average/parameters" in arrays) != (trainer.average is not None):
        raise ValueError("the state and the trainer differ in whether they keep an average of the weights")
