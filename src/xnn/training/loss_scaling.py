"""Scaling the loss so that gradients fit a narrow type, without waiting for the device to say whether they did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xnn import _checks, nn
from xnn._arrays import clamp
from xnn._typing import Array
from xnn.optim import ExponentialMovingAverage, Optimizer

_LEAST, _MOST = 1.0, 2.0**24


@dataclass(frozen=True)
class LossScaling:
    """How the factor on the loss is chosen.

    Attributes
    ----------
    initial
        A power of two from 1 to 2²⁴, so that it changes no digits unless a number leaves the range of its type.
    growth_steps
        Steps without an overflow after which the factor is doubled.

    Raises
    ------
    ValueError
        A value is out of its range.
    """

    initial: float = 2.0**16
    growth_steps: int = 2000

    def __post_init__(self) -> None:
        """Check both."""
        powers = [2.0**exponent for exponent in range(25)]
        if self.initial not in powers:
            raise ValueError(f"initial must be a power of two from 1 to {_MOST:.0f}, not {self.initial}")
        _checks.count("growth_steps", self.growth_steps, 1)


class LossScaler:
    """Takes a step with a scaled loss, or leaves everything as it was if a gradient became infinite or NaN.

    In a loop of your own::

        scaler.begin()
        logits, pullback = model.forward(x, train=True)
        loss, loss_pullback = F.softmax_cross_entropy(logits, labels)
        pullback(loss_pullback(scaler.scale))
        scaler.unscale()
        optimizer.step()
        scaler.end()

    The backward pass starts with the scale s, a float32 array without axes, and the gradients are divided by it. s is
    halved after a skipped step, and doubled after `growth_steps` in a row without one, as in P. Micikevicius et al.,
    "Mixed precision training", ICLR 2018. Only `report`, `is_futile` and `state_dict` read anything back to the host.

    Parameters
    ----------
    scaling : LossScaling
    model : xnn.nn.Layer
        A built model.
    optimizer : xnn.optim.Optimizer
        Of that model.
    average : xnn.optim.ExponentialMovingAverage, optional

    Attributes
    ----------
    scale : array
        Without axes, on the model's device.
    """

    scale: Array
    _good: Array
    _skipped: Array
    _futile: Array

    def __init__(
        self,
        scaling: LossScaling,
        model: nn.Layer,
        optimizer: Optimizer,
        average: ExponentialMovingAverage | None = None,
    ) -> None:
        self.scaling = scaling
        self.model = model
        self._xp, self._read = model.backend.xp, model.backend.to_numpy
        self.load_state_dict(None)
        self._vectors = [model.parameters.flat, model.buffers.flat, *optimizer.slots.values()]
        if average is not None:
            self._vectors += average.average
        self._before = [self._xp.empty_like(vector) for vector in self._vectors]
        self._finite: Array = None

    def begin(self) -> None:
        """Remember what a step will change; call this before its forward pass."""
        with self.model.backend.current():
            for before, vector in zip(self._before, self._vectors, strict=True):
                before[...] = vector

    def unscale(self) -> None:
        """Divide the gradients by the scale and note whether all are finite; call this after the pullback."""
        gradients = self.model.gradients.flat
        with self.model.backend.current():
            # As a product with an array, which is exact for a power of two: a quotient takes longer.
            gradients *= 1.0 / self.scale
            self._finite = self._xp.all(self._xp.isfinite(gradients))

    def end(self) -> None:
        """Undo the step unless all gradients were finite, and choose the next scale; call this after the updates."""
        with self.model.backend.current():
            self._end()

    def _end(self) -> None:
        xp, finite = self._xp, self._finite
        for before, vector in zip(self._before, self._vectors, strict=True):
            vector[...] = xp.where(finite, vector, before)
        zero = xp.zeros_like(self._good)
        good = xp.where(finite, self._good + 1, zero)
        grows = good >= self.scaling.growth_steps
        scale = xp.where(finite, xp.where(grows, 2.0 * self.scale, self.scale), 0.5 * self.scale)
        self.scale = clamp(xp, scale, _LEAST, _MOST)
        self._good = xp.where(grows, zero, good)
        self._skipped = self._skipped + xp.astype(xp.logical_not(finite), xp.int64)
        self._futile = scale < _LEAST

    def report(self) -> dict[str, Any]:
        """Return ``{"loss_scale": float, "skipped_steps": int}`` (of all training), read back from the device."""
        return {"loss_scale": float(self._read(self.scale)), "skipped_steps": int(self._read(self._skipped))}

    @property
    def is_futile(self) -> bool:
        """Whether the last step overflowed even at a scale of 1, so that no scale helps; read back from the device."""
        return bool(self._read(self._futile))

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and the counts, ready for JSON."""
        return {
            "scale": float(self._read(self.scale)),
            "good_steps": int(self._read(self._good)),
            "skipped_steps": int(self._read(self._skipped)),
        }

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Continue from what `state_dict` returned; None stands for the beginning."""
        backend = self.model.backend
        xp = backend.xp
        state = state or {"scale": self.scaling.initial, "good_steps": 0, "skipped_steps": 0}
        self.scale = xp.asarray(state["scale"], dtype=backend.dtype(self.model.dtype), device=backend.device)
        self._good, self._skipped = (
            xp.asarray(state[name], dtype=xp.int64, device=backend.device) for name in ("good_steps", "skipped_steps")
        )
        self._futile = xp.asarray(False, dtype=xp.bool, device=backend.device)
