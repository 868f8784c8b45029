"""A pass over data without training."""

import copy
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from xnn._typing import Array
from xnn.training.loaders import Loader, closing
from xnn.training.metrics import Meter, Metrics, Sums

if TYPE_CHECKING:
    from xnn.training.trainer import Trainer


class Interrupted(Exception):  # noqa: N818 - not an error
    """Evaluation was cut short by `Trainer.request_stop`."""


def evaluate(
    trainer: "Trainer",
    data: Loader,
    predict: Callable[[Array], Array],
    meter: Meter,
    stops: Callable[[], bool] = lambda: False,
) -> Metrics:
    """Return loss, accuracies and the trainer's metrics over all of `data`, with the averaged weights if there are any.

    Parameters
    ----------
    trainer : Trainer
        Its `evaluating`, `evaluated` and `to_evaluate` tell others how far this has come.
    data : Loader
    predict
        ``x -> output``.
    meter : Meter
        A new one.
    stops
        Asked before each batch whether to give up.

    Raises
    ------
    Interrupted
        If `stops` said so.
    """
    sums, metrics = Sums(), copy.deepcopy(trainer.metrics)
    trainer.evaluating = True
    trainer.evaluated, trainer.to_evaluate = 0, len(data)
    try:
        averaged = nullcontext() if trainer.average is None else trainer.average.applied()
        with averaged, closing(data.epoch(0)) as batches:
            for x, labels, *weight in batches:
                if stops():
                    raise Interrupted
                output = predict(x)
                loss, _ = trainer.held_out_loss.forward(output, labels, *weight)
                if metrics:
                    whole = trainer.team.joined(output), trainer.team.joined(labels)
                    with trainer.team.apart():
                        for metric in metrics.values():
                            metric.update(*whole)
                if meter.add(loss, output, labels):
                    meter.flush(sums)
                trainer.evaluated += 1
    finally:
        trainer.evaluating = False
    meter.flush(sums)
    values = {name: float(metric.compute()) for name, metric in metrics.items()}
    # JSON, in which checkpoints keep the history, has no NaN.
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return replace(sums.metrics(), values=finite)
