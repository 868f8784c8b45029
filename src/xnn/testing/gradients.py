"""The check that a pullback is the adjoint of its function's derivative."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.testing.calls import Call, Float64, Function
from xnn.testing.differences import ASIDE, Estimate, derivative, has_kink

STEP = 1e-2
"""The first step of the finite differences; arguments nearer than this to a kink cannot be checked."""
RTOL = {"central": 1e-6, "complex": 1e-12}
"""Default of `rtol` for each method."""
COORDINATES = 512
"""On failure, the one that is worst is sought among at most this many coordinates."""
SHOWN = 20
"""Numbers of an array that a report shows."""


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
    rtol: float | None = None,
    method: Literal["central", "complex"] = "central",
) -> None:
    """Check a function's pullback against finite differences, or a complex step, in float64.

    For y = f(a), a random direction v of one argument and a random w of y's shape, the number <w, J v> is computed
    twice: as <pullback(w), v>, and as the derivative of <w, f(a + t v)> at t = 0 by extrapolated central differences.
    Both directions are dense, so a single wrong entry of the gradient shows. Also, every gradient must have its
    argument's shape and dtype, and neither call may change what it was given.

    With ``method="complex"`` the derivative is Im <w, f(a + i h v)> / h for a tiny h. No difference is taken, so it is
    right to the last digits (W. Squire, G. Trapp, "Using complex variables to estimate derivatives of real functions",
    SIAM Review 40(1), 1998). It is for your own functions that take NumPy's complex arrays and are analytic: made of
    sums, products, quotients, powers, exp, log, tanh and the like, not of abs or conj. If central differences
    contradict it, it raises a ValueError. `xnn.functional` only takes real arrays.

    Parameters
    ----------
    function : callable
        ``(*args, **options) -> (y, pullback)``, with ``pullback(dy)`` giving a gradient or a tuple of them.
    args : sequence
        NumPy arrays, which are moved to the backend, those of floating type as float64; anything else is passed on.
        Keep them further than `step` from kinks.
    options : mapping, optional
        Keyword arguments for the function.
    differentiable : sequence of int, optional
        Positions of the arguments to which the pullback's results belong, in order. By default the first ones, as many
        as there are results.
    names : sequence of str, optional
        Names of the arguments, for the report; by default those in the function's signature.
    backend : Backend or str
    seed : int
        Of the directions.
    step : float
        Largest step of the finite differences; the largest entry of v is 1.
    rtol : float, optional
        Allowed difference, relative to the sum of the absolute products in <pullback(w), v>; by default 1e-6, for the
        complex step 1e-12.
    method : {"central", "complex"}
        How to compute the derivative.

    Raises
    ------
    AssertionError
        The pullback is wrong. The message names the argument, its shape, both numbers, the direction, and the entry
        of the gradient that differs most.
    NotSmoothError
        The finite differences are inconclusive.
    ValueError, TypeError
        For the complex step: the function is not analytic, or does not take complex arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import testing
    >>> def cube(x):
    ...     return x**3, lambda dy: 3 * x**2 * dy
    >>> testing.check_pullback(cube, (np.asarray([1.0, 2.0]),))
    >>> def wrong(x):
    ...     return x**3, lambda dy: 2 * x**2 * dy
    >>> testing.check_pullback(wrong, (np.asarray([1.0, 2.0]),))
    Traceback (most recent call last):
        ...
    AssertionError: wrong: the pullback is wrong for argument 0 (x) of shape (2,)...
    """
    if method not in RTOL:
        raise ValueError(f"method must be one of {', '.join(RTOL)}, not {method!r}")
    call = Call(function, args, dict(options or {}), names, make_backend(backend))
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
            comparison = _Comparison(
                call, position, gradient, w, output_scale, step, RTOL[method] if rtol is None else rtol, method
            )
            comparison.check(_direction(random, gradient.shape))


@dataclass(frozen=True)
class _Comparison:
    """A comparison of one argument's gradient with the derivative that a method gives."""

    call: Call
    position: int
    gradient: Float64
    w: Float64
    output_scale: float
    step: float
    rtol: float
    method: str

    @property
    def source(self) -> str:
        """Name of the method, for the report."""
        return "finite differences" if self.method == "central" else "the complex step"

    def check(self, v: Float64) -> None:
        """Compare along v; raise if they differ."""
        by_pullback, by_differences, allowed = self._both(v)
        differ = abs(by_pullback - by_differences.value) > allowed
        # At a kink, central differences settle halfway between the two slopes.
        on_kink = differ and self.method == "central" and has_kink(self._along(v), self.step, allowed)
        if by_differences.error > allowed or on_kink:
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
        # If all products are tiny, rounding in <w, y> itself limits the differences. A step away, y may be larger: at
        # its minimum, a squared error is zero.
        away = self.call.moved(self.position, np.asarray(self.step * v))
        rounded = max(self.output_scale, float(np.sum(np.abs(self.w * away))))
        allowed = self.rtol * (float(np.sum(np.abs(products))) + 1e-3 * rounded)
        differences = derivative(self._along(v), self.step, 0.1 * allowed)
        if self.method == "complex":
            differences = self._complex_step(v, differences, rounded)
        return float(np.sum(products)), differences, allowed

    def _complex_step(self, v: Float64, differences: Estimate, scale: float) -> Estimate:
        """Return d/dt <w, f(a + t v)> by a step along the imaginary axis.

        If f is analytic, this equals the derivative along the real axis, which the differences estimate.
        """
        y = self.call.moved_aside(self.position, np.asarray(ASIDE * v))
        value = float(np.sum(self.w * y.imag)) / ASIDE
        tolerance = 10 * differences.error + RTOL["central"] * (abs(differences.value) + 1e-3 * scale)
        if abs(value - differences.value) > tolerance:
            raise ValueError(
                f"{self.call.name}: the complex step gives {value:.9g} for {self.call.label(self.position)} and "
                f"finite differences {differences.value:.9g}: it is not analytic, as abs and conj are not (use "
                f"method='central'), or bends within {self.step:g} (give a smaller step)"
            )
        return Estimate(value, 0.0)

    def _along(self, v: Float64) -> Callable[[float], float]:
        """Return t -> <w, f(a + t v)>."""
        return lambda t: float(np.sum(self.w * self.call.moved(self.position, np.asarray(t * v))))

    def _report(self, v: Float64, by_pullback: float, by_differences: Estimate) -> str:
        call, label = self.call, self.call.label(self.position)
        index, entry, quotient = self._worst_entry(v)
        return "\n".join(
            [
                f"{call.name}: the pullback is wrong for {label} of shape {v.shape}",
                f"  <pullback(w), v> = {by_pullback:.9g}",
                f"  d/dt <w, f(... + t v)> = {by_differences.value:.9g} ± {by_differences.error:.2g}",
                f"  worst entry {index}: the pullback gives {entry:.9g}, {self.source} {quotient:.9g}",
                f"  called with: {call.describe()}",
                f"  v = {_show(v)}",
                f"  w = {_show(self.w)}",
            ]
        )

    def _worst_entry(self, v: Float64) -> tuple[tuple[int, ...], float, float]:
        """Return (index, gradient, difference quotient) of the coordinate in which they differ most.

        Of very many coordinates, that half is searched in which they differ more along v, and so on.
        """
        suspects = np.arange(self.gradient.size)
        while suspects.size > COORDINATES:
            suspects = max(np.array_split(suspects, 2), key=lambda half: self._difference(v, half))
        found = []
        for flat in suspects:
            index = tuple(int(i) for i in np.unravel_index(flat, self.gradient.shape))
            v = np.zeros(self.gradient.shape)
            v[index] = 1.0
            _, by_differences, _ = self._both(v)
            found.append((index, float(self.gradient[index]), by_differences.value))
        return max(found, key=lambda row: abs(row[1] - row[2]))

    def _difference(self, v: Float64, suspects: npt.NDArray[np.int_]) -> float:
        """Return by how much the two differ along the part of v that lies in some coordinates."""
        part = np.zeros(v.shape)
        part.flat[suspects] = v.flat[suspects]
        by_pullback, by_differences, _ = self._both(part)
        return abs(by_pullback - by_differences.value)


def _direction(random: np.random.Generator, shape: tuple[int, ...]) -> Float64:
    """Return a random direction whose largest entry is 1, so that a step moves no number further than itself."""
    v = np.asarray(random.standard_normal(shape))
    return v / np.max(np.abs(v)) if v.size else v


def _show(array: Float64) -> str:
    if array.size > SHOWN:
        return f"[{', '.join(f'{number:.4g}' for number in array.flat[:SHOWN])}, ...] ({array.size:,} numbers)"
    text = np.array2string(array, precision=4, separator=", ")
    return text.replace("\n", "\n      ")
