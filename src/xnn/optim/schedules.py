"""Learning-rate schedules: pure functions of the step number, counted from 0.

All but `OneCycle` begin with `warmup_steps` steps that rise linearly from ``lr / warmup_steps`` to ``lr``, as
in P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2. Then the
schedule proper begins, at `lr`. `total_steps` counts both; from that step on the last value is kept.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from xnn import _checks


@dataclass(frozen=True)
class Schedule(ABC):
    """Base of the schedules.

    Parameters
    ----------
    lr : float
        The highest learning rate, above 0.
    warmup_steps : int
        At least 0, and below `total_steps` if the schedule has it; by keyword.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or if the schedule is called with a negative step.

    Examples
    --------
    >>> from xnn import optim
    >>> schedule = optim.Cosine(0.1, total_steps=100, warmup_steps=10)
    >>> isinstance(schedule, optim.Schedule), schedule.lr, schedule.warmup_steps
    (True, 0.1, 10)
    >>> round(schedule(0), 3), round(schedule(9), 3), round(schedule(55), 3), schedule(100)
    (0.01, 0.1, 0.05, 0.0)
    """

    continuous: ClassVar[bool] = True
    """Whether the schedule has no jumps: the more steps there are, the closer the rates of neighbouring steps."""

    lr: float
    warmup_steps: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters."""
        _checks.positive("lr", self.lr)
        _checks.count("warmup_steps", self.warmup_steps, 0)

    def __call__(self, step: int) -> float:
        """Return the learning rate of step number `step`, the first being 0."""
        if step < 0:
            raise ValueError(f"step must be at least 0, not {step}")
        return self._rate(step)

    @abstractmethod
    def _rate(self, step: int) -> float:
        """Return the learning rate of step number `step`, which is at least 0."""


@dataclass(frozen=True)
class _WarmedUp(Schedule):
    """A schedule that begins with a linear warm-up."""

    def _rate(self, step: int) -> float:
        if step < self.warmup_steps:
            return self.lr * ((step + 1) / self.warmup_steps)
        return self._after_warmup(step - self.warmup_steps)

    @abstractmethod
    def _after_warmup(self, step: int) -> float:
        """Return the learning rate `step` steps after the warm-up."""


@dataclass(frozen=True)
class Constant(_WarmedUp):
    """The same learning rate for all steps.

    Parameters
    ----------
    lr : float
        Above 0.
    warmup_steps : int
        At least 0; by keyword.

    Examples
    --------
    >>> from xnn import optim
    >>> schedule = optim.Constant(0.1, warmup_steps=2)
    >>> [schedule(step) for step in range(4)]
    [0.05, 0.1, 0.1, 0.1]
    """

    def _after_warmup(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Step(_WarmedUp):
    """Multiplied by `factor` after every `every` steps: ``lr factor^⌊step / every⌋``, after the warm-up.

    Parameters
    ----------
    lr : float
        The highest learning rate, above 0.
    every : int
        Steps between two drops, at least 1.
    factor : float
        Above 0 and below 1.
    warmup_steps : int
        At least 0; by keyword.

    Examples
    --------
    >>> from xnn import optim
    >>> schedule = optim.Step(0.1, every=2, factor=0.5)
    >>> [schedule(step) for step in range(5)]
    [0.1, 0.1, 0.05, 0.05, 0.025]
    """

    continuous: ClassVar[bool] = False

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        _checks.count("every", self.every, 1)
        _checks.open_fraction("factor", self.factor)

    def _after_warmup(self, step: int) -> float:
        return float(self.lr * self.factor ** (step // self.every))


@dataclass(frozen=True)
class _Decay(_WarmedUp):
    """From `lr`, after the warm-up, to `final` at `total_steps`."""

    total_steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        _check_total(self.total_steps, self.warmup_steps)
        _checks.non_negative("final", self.final)
        if self.final > self.lr:
            raise ValueError(f"final must be at most lr={self.lr}, not {self.final}")

    def _after_warmup(self, step: int) -> float:
        span = self.total_steps - self.warmup_steps
        return self.final if step >= span else self._between(step / span)

    @abstractmethod
    def _between(self, progress: float) -> float:
        """Return the learning rate at a progress in [0, 1)."""


@dataclass(frozen=True)
class Cosine(_Decay):
    """Half a cosine from `lr` down to `final`: ``final + (lr - final) cos²(π progress / 2)``.

    After I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    equation 5, without restarts.

    Parameters
    ----------
    lr : float
        The highest learning rate, above 0.
    total_steps : int
        Above `warmup_steps`. The last of that many steps is a little above `final`, which comes after it.
    final : float
        Learning rate at the end, at least 0 and at most `lr`.
    warmup_steps : int
        At least 0; by keyword.

    Examples
    --------
    >>> from xnn import optim
    >>> schedule = optim.Cosine(0.1, total_steps=4)
    >>> [round(schedule(step), 3) for step in range(6)]
    [0.1, 0.085, 0.05, 0.015, 0.0, 0.0]
    """

    def _between(self, progress: float) -> float:
        return _cosine(self.lr, self.final, progress)


@dataclass(frozen=True)
class Linear(_Decay):
    """A straight line from `lr` down to `final`.

    Parameters
    ----------
    lr : float
        The highest learning rate, above 0.
    total_steps : int
        Above `warmup_steps`. The last of that many steps is a little above `final`, which comes after it.
    final : float
        Learning rate at the end, at least 0 and at most `lr`.
    warmup_steps : int
        At least 0; by keyword.

    Examples
    --------
    >>> from xnn import optim
    >>> schedule = optim.Linear(0.1, total_steps=4)
    >>> [round(schedule(step), 3) for step in range(6)]
    [0.1, 0.075, 0.05, 0.025, 0.0, 0.0]
    """

    def _between(self, progress: float) -> float:
        return _line(self.lr, self.final, progress)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from ``lr / div_factor`` to `lr`, then down to ``lr / (div_factor final_div_factor)``.

    After L. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018, in the two-phase shape of PyTorch's ``OneCycleLR``; the momentum is not cycled. The
    rise is this schedule's warm-up; no other precedes it.

    Parameters
    ----------
    lr : float
        The highest learning rate, above 0.
    total_steps : int
        At least 1, and above `warmup_steps`.
    rise : float
        Part of `total_steps` spent rising, above 0 and below 1.
    div_factor : float
        At least 1: `lr` over the learning rate at the start.
    final_div_factor : float
        At least 1: the learning rate at the start over that at the end.
    annealing : {"cosine", "linear"}
        Shape of both phases.
    warmup_steps : int
        By keyword. If above 0, the number of steps spent rising, instead of ``rise * total_steps``.

    Examples
    --------
    >>> from xnn import optim
    >>> schedule = optim.OneCycle(0.1, total_steps=10)
    >>> [round(schedule(step), 3) for step in range(10)]
    [0.004, 0.052, 0.1, 0.095, 0.081, 0.061, 0.039, 0.019, 0.005, 0.0]
    """

    total_steps: int
    rise: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    annealing: Literal["cosine", "linear"] = "cosine"

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        _check_total(self.total_steps, self.warmup_steps)
        _checks.open_fraction("rise", self.rise)
        for name, value in (("div_factor", self.div_factor), ("final_div_factor", self.final_div_factor)):
            if _checks.positive(name, value) < 1.0:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.annealing not in ("cosine", "linear"):
            raise ValueError(f"annealing must be 'cosine' or 'linear', not {self.annealing!r}")

    def _rate(self, step: int) -> float:
        start = self.lr / self.div_factor
        final = start / self.final_div_factor
        peak = max((self.warmup_steps or self.rise * self.total_steps) - 1.0, 0.0)
        last = self.total_steps - 1.0
        anneal = _cosine if self.annealing == "cosine" else _line
        if step > last:
            return final
        if step < peak:
            return anneal(start, self.lr, step / peak)
        return anneal(self.lr, final, (step - peak) / (last - peak)) if last > peak else self.lr


def _check_total(total_steps: int, warmup_steps: int) -> None:
    _checks.count("total_steps", total_steps, 1)
    if warmup_steps >= total_steps:
        raise ValueError(f"warmup_steps must be below total_steps={total_steps}, not {warmup_steps}")


def _line(start: float, end: float, progress: float) -> float:
    return start * (1.0 - progress) + end * progress


def _cosine(start: float, end: float, progress: float) -> float:
    # cos²(x / 2) equals (1 + cos x) / 2, without the cancellation near the end.
    weight = math.cos(math.pi / 2.0 * progress) ** 2
    return start * weight + end * (1.0 - weight)
