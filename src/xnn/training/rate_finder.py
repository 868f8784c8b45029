"""The learning-rate range test: how the loss goes as the rate rises from step to step."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from xnn import _checks
from xnn.errors import NonFiniteLoss
from xnn.training.callbacks import Callback
from xnn.training.history import IntervalRow
from xnn.training.loaders import Data
from xnn.training.trainer import Trainer

_HALF = 4
"""Steps on either side over which losses are averaged."""
_FEWEST = 2 * _HALF + 1
_DIVERGED = 4.0
"""Times the lowest average of losses at which the test ends."""


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes
    ----------
    rates, losses
        The learning rate of each step, and the loss of its batch before it.
    smoothed
        The means of the losses around each.
    suggested
        A tenth of the rate at which the smoothed loss is lowest; None where it never fell.

    Examples
    --------
    >>> from xnn import training
    >>> test = training.RangeTest(rates=[0.1, 1.0], losses=[2.0, 3.0], smoothed=[2.0, 3.0], suggested=None)
    >>> test.suggested is None  # the loss never fell
    True
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggested: float | None


def find_lr(
    trainer: Trainer,
    train: Data,
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int = 128,
) -> RangeTest:
    """Train for some steps at a rate that rises exponentially, and undo them.

    It ends early where the loss becomes NaN, infinite, or four times as large as at its lowest. Afterwards the model,
    the optimizer and the trainer are what they were, to the bit; callbacks are not called.

    The test is that of L. Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3, with
    losses in place of accuracies. The suggestion, a tenth of the rate with the lowest loss, is that of J. Howard and
    S. Gugger, "fastai: a layered API for deep learning", Information 11(2), 2020: where the loss is lowest, training is
    already about to diverge. It is a highest rate, for a schedule that begins or ends lower.

    Parameters
    ----------
    trainer
        With the optimizer and the loss to be used; it is left as it is.
    train
        What `Trainer.fit` takes.
    lowest, highest
        The rates of the first and the last step.
    steps
        How many, at least 20.
    batch_size
        For arrays.

    Raises
    ------
    NonFiniteLoss
        The loss is not finite even at the lowest rates.
    ValueError
        A number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import nn, optim, training
    >>> random = np.random.default_rng(0)
    >>> x = random.standard_normal((512, 8))
    >>> model = nn.Sequential(nn.Linear(32), nn.ReLU(), nn.Linear(2)).build((8,), backend="numpy", seed=0)
    >>> trainer = training.Trainer(model, optim.SGD(model, lr=0.1))
    >>> test = training.find_lr(trainer, (x, (x[:, 0] > 0).astype(np.int64)), lowest=1e-4, highest=100.0)
    >>> 0.01 < test.suggested < 10.0
    True
    """
    _checks.positive("lowest", lowest)
    if not _checks.positive("highest", highest) > lowest:
        raise ValueError(f"highest must be above lowest={lowest:g}, not {highest:g}")
    _checks.count("steps", steps, 20)
    recorder = _Recorder(trainer.step, steps)
    saved = trainer.state_dict()
    # What training counts is a copy's; the weights and the optimizer's state are put back.
    trial = copy.copy(trainer)
    trial.load_state_dict(*saved)
    trial.schedule = lambda step: lowest * (highest / lowest) ** ((step - recorder.first) / (steps - 1))
    trial.callbacks, trial.log_every = [recorder], 1
    try:
        trial.fit(train, epochs=steps, batch_size=batch_size, progress=False)
    except NonFiniteLoss:
        # How the test ends where the rate becomes too high; at the lowest rates something else is wrong.
        if len(recorder.losses) < _FEWEST:
            raise
    finally:
        trainer.load_state_dict(*saved)
    return _result(recorder.rates, recorder.losses)


class _Recorder(Callback):
    """Notes rates and losses, and stops when there are enough or they rise too far."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps = first, steps
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._lowest = float("inf")

    def interval(self, trainer: Trainer, row: IntervalRow) -> None:
        """Note one step."""
        self.rates.append(trainer.optimizer.lr)
        self.losses.append(row["minibatch_loss"])
        if len(self.losses) >= _FEWEST:
            mean = sum(self.losses[-_FEWEST:]) / _FEWEST
            self._lowest = min(self._lowest, mean)
            if mean > _DIVERGED * self._lowest:
                trainer.request_stop("the loss has risen")
        if len(self.losses) == self.steps:
            trainer.request_stop("the highest rate is reached")


def _result(rates: list[float], losses: list[float]) -> RangeTest:
    smoothed = smooth(losses)
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    suggested = rates[lowest] / 10.0 if smoothed[lowest] < smoothed[0] else None
    return RangeTest(rates, losses, smoothed, suggested)


def smooth(losses: Sequence[float]) -> list[float]:
    """Return the mean of each loss and its neighbours, up to four on either side, as many on one as on the other."""
    means = []
    for place in range(len(losses)):
        half = min(_HALF, place, len(losses) - 1 - place)
        part = losses[place - half : place + half + 1]
        means.append(sum(part) / len(part))
    return means
