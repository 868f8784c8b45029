"""Comparing the results of two functions, or of one function on two backends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Comparison:
    """The names of the two sides, and how far they may differ.

    Attributes
    ----------
    first, other : str
        The two sides, such as ``"numpy"`` and ``"torch:cpu"``.
    preposition : str
        Word between a result and its side: ``"on"`` for backends.
    rtol : callable
        Returns the allowed difference for a dtype, relative to the largest number of the first side's result.
    atol : float
        An additional allowed difference.
    """

    first: str
    other: str
    preposition: str
    rtol: Callable[[np.dtype[Any]], float]
    atol: float = 0.0

    def check(self, name: str, expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> None:
        """Raise AssertionError unless two results have one dtype and shape, and the same numbers to rounding."""
        kinds = [f"{array.dtype} {array.shape}" for array in (expected, found)]
        self.check_equal(name, *kinds)
        finite = np.isfinite(expected)
        same = np.where(finite, np.isfinite(found), _equal_where_not_finite(expected, found))
        if not np.all(same):
            index = tuple(np.argwhere(~same)[0].tolist())
            self.check_equal(f"{name} at {index}" if index else name, str(expected[index]), str(found[index]))
        if not np.any(finite):
            return
        first, other = (np.where(finite, array, 0).astype(np.float64) for array in (expected, found))
        differences = np.abs(other - first)
        scale = float(np.max(np.abs(first)))
        if float(np.max(differences)) > self.rtol(expected.dtype) * scale + self.atol:
            index = tuple(int(i) for i in np.unravel_index(np.argmax(differences), differences.shape))
            raise AssertionError(
                f"{name} differs between {self.first} and {self.other} by up to {np.max(differences):.3g}"
                f"{f' at {index}' if index else ''}, where its largest number is {scale:.3g}"
            )

    def check_equal(self, name: str, expected: str, found: str) -> None:
        """Raise AssertionError unless two descriptions are equal."""
        if expected != found:
            raise AssertionError(
                f"{name} is {expected} {self.preposition} {self.first} but {found} {self.preposition} {self.other}"
            )


def _equal_where_not_finite(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))
