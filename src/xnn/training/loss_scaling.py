"""Scaling the loss so that gradients fit a narrow type, without waiting for the device to say whether they did."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from xnn import _checks, kernels, nn
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

    Examples
    --------
    >>> from xnn import training
    >>> training.LossScaling(initial=2.0**10)
    LossScaling(initial=1024.0, growth_steps=2000)
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

    Examples
    --------
    >>> from xnn import nn, optim, training
    >>> layer = nn.Linear(1, bias=False, weight_initializer=nn.initializers.ones)
    >>> model = layer.build((2,), backend="numpy")
    >>> optimizer = optim.SGD(model, lr=0.1)
    >>> scaler = training.LossScaler(training.LossScaling(initial=1024.0), model, optimizer)
    >>> scaler.begin()
    >>> model.gradients.flat[...] = float("inf")  # what a pullback gives if a number leaves float16's range
    >>> scaler.unscale()
    >>> optimizer.step()
    >>> scaler.end()
    >>> model.parameters.flat, scaler.report()
    (array([1., 1.], dtype=float32), {'loss_scale': 512.0, 'skipped_steps': 1})
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
        self._read = model.backend.to_numpy
        self.load_state_dict(None)
        self._vectors = [model.parameters.flat, model.buffers.flat, *optimizer.slots.values()]
        if average is not None:
            self._vectors += average.average
        self._before = [model.backend.xp.empty_like(vector) for vector in self._vectors]
        self._finite: Array = None
        # An optimizer of the user's own may have slots of other types, which the twins are not for.
        of_one_type = all(vector.dtype == model.parameters.flat.dtype for vector in self._vectors)

        def twin_of(function: Callable[..., Any]) -> Callable[..., Any]:
            twin = kernels.single_pass(model.backend, model.dtype, function.__name__) if of_one_type else None
            return twin or function

        self._keep, self._settle = twin_of(keep_vectors), twin_of(settle_step)
        self._unscale = twin_of(unscale_gradients)

    def begin(self) -> None:
        """Remember what a step will change; call this before its forward pass."""
        with self.model.backend.current():
            self._keep(self._vectors, self._before)

    def unscale(self) -> None:
        """Divide the gradients by the scale and note whether all are finite; call this after the pullback."""
        gradients = self.model.gradients.flat
        with self.model.backend.current():
            self._finite = self._unscale(gradients, self.scale)

    def end(self) -> None:
        """Undo the step unless all gradients were finite, and choose the next scale; call this after the updates."""
        with self.model.backend.current():
            counts = self.scale, self._good, self._skipped
            self.scale, self._good, self._skipped, self._futile = self._settle(
                self._finite, self._vectors, self._before, counts, self.scaling.growth_steps, (_LEAST, _MOST)
            )

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


# Each of these has a twin where one pass over memory does it; see `xnn.kernels.single_pass`.


def keep_vectors(vectors: Sequence[Array], copies: Sequence[Array]) -> None:
    """Copy each vector to its copy."""
    for copy, vector in zip(copies, vectors, strict=True):
        copy[...] = vector


def unscale_gradients(gradients: Array, scale: Array) -> Array:
    """Divide the gradients by the scale and return whether all are finite, without axes."""
    xp = array_namespace(gradients)
    # As a product with an array, which is exact for a power of two: a quotient takes longer.
    gradients *= 1.0 / scale
    return xp.all(xp.isfinite(gradients))


def settle_step(
    finite: Array,
    vectors: Sequence[Array],
    copies: Sequence[Array],
    counts: tuple[Array, Array, Array],
    growth_steps: int,
    bounds: tuple[float, float],
) -> tuple[Array, ...]:
    """Undo a step that was not finite, and choose the next scale.

    Parameters
    ----------
    finite : array
        Without axes, as all that follow but the vectors and their copies.
    vectors, copies : sequence of arrays
    counts : tuple of array
        The scale, the good steps in a row, and the steps skipped.
    growth_steps : int
    bounds : pair of float
        Of the scale.

    Returns
    -------
    scale, good, skipped, futile : array
        The new counts, and whether the scale should be below its bounds.
    """
    xp = array_namespace(finite)
    scale, good, skipped = counts
    least, most = bounds
    for copy, vector in zip(copies, vectors, strict=True):
        vector[...] = xp.where(finite, vector, copy)
    zero = xp.zeros_like(good)
    good = xp.where(finite, good + 1, zero)
    grows = good >= growth_steps
    wanted = xp.where(finite, xp.where(grows, 2.0 * scale, scale), 0.5 * scale)
    skipped = skipped + xp.astype(xp.logical_not(finite), xp.int64)
    return clamp(xp, wanted, least, most), xp.where(grows, zero, good), skipped, wanted < least
