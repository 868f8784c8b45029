"""Derivatives of a function of one number by finite differences, with an estimate of their error."""

from collections.abc import Callable
from dataclasses import dataclass

LEVELS = 10
"""Most step sizes to try, each half of the one before."""
ASIDE = 2.0**-200
"""Step along the imaginary axis: a power of 2, so small that terms of second order vanish."""


@dataclass(frozen=True)
class Estimate:
    """A derivative and its possible error."""

    value: float
    error: float


def derivative(phi: Callable[[float], float], step: float, enough: float) -> Estimate:
    """Estimate phi'(0) by central differences, extrapolated to step size zero.

    With D(h) = (phi(h) - phi(-h)) / 2h, whose error is a series in h², the combinations
    (4^k D_k(h/2) - D_k(h)) / (4^k - 1) cancel one term after the other. The distance of each combination from the two
    that it was made of estimates its error, both from the rest of the series and from rounding; the combination with
    the smallest error wins. C. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Advances in Engineering
    Software 4, 1982.

    Parameters
    ----------
    phi : callable
    step : float
        The first and largest step. phi must be smooth within it for the series to hold.
    enough : float
        Stop when the error is this small.
    """
    best = Estimate(float("nan"), float("inf"))
    previous: list[float] = []
    for level in range(LEVELS):
        h = step / 2**level
        row = [(phi(h) - phi(-h)) / (2 * h)]
        for k, coarser in enumerate(previous, start=1):
            finer = row[-1]
            row.append((4**k * finer - coarser) / (4**k - 1))
            error = max(abs(row[-1] - finer), abs(row[-1] - coarser))
            if error < best.error:
                best = Estimate(row[-1], error)
        if best.error <= enough:
            break
        previous = row
    return best


def has_kink(phi: Callable[[float], float], step: float, tolerance: float) -> bool:
    """Return whether the slopes of phi on the left and on the right of 0 differ by more than a tolerance.

    If phi is smooth, their difference over a step h shrinks with h; otherwise it stays.
    """

    def jump(h: float) -> float:
        return abs(phi(h) - 2 * phi(0.0) + phi(-h)) / h

    coarse, fine = jump(step / 64), jump(step / 128)
    return fine > tolerance and fine > 0.75 * coarse
