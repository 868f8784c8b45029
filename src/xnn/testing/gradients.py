"""The check that a pullback is the adjoint of its function's derivative."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from xnn._typing import Array, Pullback
from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.testing.calls import Function, as_tuple, function_name, label, parameter_names, watched_call
from xnn.testing.differences import Estimate, derivative, has_kink

Float64: TypeAlias = npt.NDArray[np.float64]

STEP = 1e-2
"""The first step of the finite differences; arguments nearer than this to a kink cannot be checked."""
COORDINATES = 512
"""On failure, at most this many coordinates are searched for the one that is worst."""


class NotSmoothError(AssertionError):
    """Finite differences do not settle: the function has a kink, or bends sharply, near these arguments."""


def check_pullback(
    function: Function,
    args: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    *,
    differentiable: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    backend: Backend | str = "numpy",
    seed: int = 0,
    step: float = STEP,
    rtol: float = 1e-6,
) -> None:
    """Check a function's pullback against finite differences, in float64.

    For y = f(a), a random direction v of one argument and a random w of y's shape, the number <w, J v> is computed
    twice: as <pullback(w), v>, and as the derivative of <w, f(a + t v)> at t = 0 by extrapolated central differences.
    Both directions are dense, so a single wrong entry of the gradient shows. Besides, every gradient must have its
    argument's shape and dtype, and neither call may change what it was given.

    Parameters
    ----------
    function : callable
        ``(*args, **options) -> (y, pullback)``, with ``pullback(dy)`` giving a gradient or a tuple of them.
    args : sequence
        NumPy arrays, which are brought to the backend, those of floating type as float64; anything else is passed on.
        Keep them away from kinks by more than `step`.
    options : mapping, optional
        Keyword arguments for the function.
    differentiable : sequence of int, optional
        Positions of the arguments that the pullback's results belong to, in order. By default the first ones, as many
        as there are results.
    names : sequence of str, optional
        Of the arguments, for the report; by default those in the function's signature.
    backend : Backend or str
    seed : int
        Of the directions.
    step : float
        Largest step of the finite differences; the largest entry of v is 1.
    rtol : float
        Allowed difference, relative to the sum of the absolute products in <pullback(w), v>.

    Raises
    ------
    AssertionError
        The pullback is wrong. The message names the argument, its shape, both numbers, the direction, and the entry
        of the gradient that differs most.
    NotSmoothError
        The finite differences cannot tell.
    """
    call = _Call(function, args, dict(options or {}), names, make_backend(backend))
    random = np.random.default_rng(seed)
    y, pullback = call(call.args)
    w = np.asarray(random.standard_normal(y.shape))
    gradients = call.gradients(pullback, call.backend.asarray(w.copy()))
    positions = range(len(gradients)) if differentiable is None else differentiable
    if len(positions) != len(gradients):
        raise AssertionError(
            f"{call.name}: the pullback returns {len(gradients)} gradients for {len(positions)} arguments"
        )
    output_scale = float(np.sum(np.abs(w * call.backend.to_numpy(y))))
    for position, gradient in zip(positions, gradients, strict=True):
        call.check_fits(position, gradient)
        if gradient is not None:
            comparison = _Comparison(call, position, gradient, w, output_scale, step, rtol)
            comparison.check(_direction(random, gradient.shape))


class _Call:
    """A function with its arguments on the backend, and copies of them to notice changes by."""

    def __init__(
        self,
        function: Function,
        args: Sequence[Any],
        options: dict[str, Any],
        names: Sequence[str] | None,
        backend: Backend,
    ) -> None:
        self.function = function
        self.options = options
        self.backend = backend
        self.args = [_double(argument) for argument in args]
        self.name = function_name(function)
        self._names = list(names) if names is not None else parameter_names(function)

    def __call__(self, args: Sequence[Any]) -> tuple[Array, Pullback]:
        """Return (y, pullback), both watched for changes to what they are given."""
        return watched_call(self.name, self.function, args, self.options, self.backend, self._names)

    def gradients(self, pullback: Pullback, dy: Array) -> list[Float64 | None]:
        """Return what the pullback gives, on the host."""
        gradients = as_tuple(pullback(dy))
        return [None if g is None else self._gradient(number, g) for number, g in enumerate(gradients)]

    def _gradient(self, number: int, gradient: Any) -> Float64:
        if isinstance(gradient, float):
            return np.asarray(gradient)
        host = self.backend.to_numpy(gradient)
        if host.dtype != np.float64:
            raise AssertionError(f"{self.name}: gradient {number} is {host.dtype}, though all arguments are float64")
        return host.astype(np.float64)

    def check_fits(self, position: int, gradient: Float64 | None) -> None:
        """Raise if the gradient cannot be the argument's; None is the gradient of an argument that is None."""
        argument = self.args[position]
        if (gradient is None) != (argument is None):
            has, lacks = ("an argument", "gradient") if gradient is None else ("a gradient", "argument")
            raise AssertionError(f"{self.name}: {self.label(position)} has {has} but no {lacks}")
        if gradient is not None and gradient.shape != argument.shape:
            raise AssertionError(
                f"{self.name}: the gradient of {self.label(position)} has shape {gradient.shape}, "
                f"the argument has {argument.shape}"
            )
        if gradient is not None and not np.all(np.isfinite(gradient)):
            index = tuple(np.argwhere(~np.isfinite(gradient))[0].tolist())
            raise AssertionError(
                f"{self.name}: the pullback is wrong for {self.label(position)} of shape {gradient.shape}: "
                f"{gradient[index]} at {index}"
            )

    def moved(self, position: int, offset: Float64) -> Float64:
        """Return y with one argument moved."""
        args = list(self.args)
        args[position] = np.asarray(args[position] + offset)
        y, _ = self(args)
        return np.asarray(self.backend.to_numpy(y), dtype=np.float64)

    def label(self, position: int) -> str:
        """Return a phrase for an argument, such as ``argument 1 (weight)``."""
        return label(position, self._names)

    def describe(self) -> str:
        """Return the arguments' shapes and the options."""
        shapes = [
            f"{self._names[number] if number < len(self._names) else number} "
            f"{argument.shape if isinstance(argument, np.ndarray) else repr(argument)}"
            for number, argument in enumerate(self.args)
        ]
        options = [f"{name}={value!r}" for name, value in self.options.items()]
        return ", ".join(shapes + options)


@dataclass(frozen=True)
class _Comparison:
    """One argument's gradient against finite differences."""

    call: _Call
    position: int
    gradient: Float64
    w: Float64
    output_scale: float
    step: float
    rtol: float

    def check(self, v: Float64) -> None:
        """Compare along v; raise where they differ."""
        by_pullback, by_differences, allowed = self._both(v)
        differ = abs(by_pullback - by_differences.value) > allowed
        # On a kink, central differences settle halfway between the two slopes.
        if by_differences.error > allowed or (differ and has_kink(self._along(v), self.step, allowed)):
            raise NotSmoothError(
                f"{self.call.name}: finite differences for {self.call.label(self.position)} do not settle "
                f"({by_differences.value:.9g} ± {by_differences.error:.2g}); keep the arguments more than "
                f"{self.step:g} away from kinks, or give a smaller step\n  called with: {self.call.describe()}"
            )
        if differ:
            raise AssertionError(self._report(v, by_pullback, by_differences))

    def _both(self, v: Float64) -> tuple[float, Estimate, float]:
        """Return <pullback(w), v>, its estimate by differences, and the difference allowed between them."""
        products = self.gradient * v
        # Where all products are tiny, rounding in <w, y> itself is what limits the differences. A step away y may be
        # larger: at its minimum, a squared error is zero.
        away = self.call.moved(self.position, np.asarray(self.step * v))
        rounded = max(self.output_scale, float(np.sum(np.abs(self.w * away))))
        allowed = self.rtol * (float(np.sum(np.abs(products))) + 1e-3 * rounded)
        return float(np.sum(products)), derivative(self._along(v), self.step, 0.1 * allowed), allowed

    def _along(self, v: Float64) -> Callable[[float], float]:
        """Return t -> <w, f(a + t v)>."""
        return lambda t: float(np.sum(self.w * self.call.moved(self.position, np.asarray(t * v))))

    def _report(self, v: Float64, by_pullback: float, by_differences: Estimate) -> str:
        call, label = self.call, self.call.label(self.position)
        index, entry, quotient = self._worst_entry()
        return "\n".join(
            [
                f"{call.name}: the pullback is wrong for {label} of shape {v.shape}",
                f"  <pullback(w), v> = {by_pullback:.9g}",
                f"  d/dt <w, f(... + t v)> = {by_differences.value:.9g} ± {by_differences.error:.2g}",
                f"  worst entry {index}: the pullback gives {entry:.9g}, finite differences {quotient:.9g}",
                f"  called with: {call.describe()}",
                f"  v = {_show(v)}",
                f"  w = {_show(self.w)}",
            ]
        )

    def _worst_entry(self) -> tuple[tuple[int, ...], float, float]:
        """Return (index, gradient, difference quotient) of the coordinate in which they differ most."""
        found = []
        for flat in range(min(self.gradient.size, COORDINATES)):
            index = tuple(int(i) for i in np.unravel_index(flat, self.gradient.shape))
            v = np.zeros(self.gradient.shape)
            v[index] = 1.0
            _, by_differences, _ = self._both(v)
            found.append((index, float(self.gradient[index]), by_differences.value))
        return max(found, key=lambda row: abs(row[1] - row[2]))


def _direction(random: np.random.Generator, shape: tuple[int, ...]) -> Float64:
    """Return a random direction whose largest entry is 1, so that a step moves no number further than itself."""
    v = np.asarray(random.standard_normal(shape))
    return v / np.max(np.abs(v)) if v.size else v


def _double(argument: Any) -> Any:
    floating = isinstance(argument, np.ndarray) and argument.dtype.kind == "f"
    return argument.astype(np.float64) if floating else argument


def _show(array: Float64) -> str:
    text = np.array2string(array, precision=4, threshold=64, edgeitems=2, separator=", ")
    return text.replace("\n", "\n      ")
