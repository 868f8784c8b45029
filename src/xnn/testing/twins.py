"""The check that a function's faster twin does the same as the function."""

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from xnn._typing import Array, Pullback
from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.testing.calls import Function, as_tuple, function_name, parameter_names, random_dy, watched_call
from xnn.testing.comparison import Comparison

TOLERANCES = {"float16": 1e-2, "float32": 2e-5, "float64": 1e-12}
"""Default of `rtol` for each dtype.

A correct twin differs only by rounding: it may sum in another order, fuse products with additions, or use another
exponential. Two orders of a sum of n terms differ by about sqrt(n) units in the last place (eps), and by more if terms
cancel.

- float32: 170 eps, enough for sums of some 10,000 terms. A wrong formula is seldom off by so little.
- float64: 4,500 eps, generous since it costs nothing: this is still far below any real mistake.
- float16: 10 eps. One side may compute in float32 and round once, while the other rounds after every operation. A
  larger tolerance would let real mistakes through, so keep sums short.
"""


def check_twin(
    reference: Function,
    twin: Function,
    args: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    *,
    backend: Backend | str = "numpy",
    seed: int = 0,
    rtol: float | None = None,
    atol: float = 0.0,
) -> None:
    """Check that a twin gives the same value and the same gradients as its reference.

    Value and gradients must be arrays of one library with one device, dtype and shape, and agree to rounding; NaN and
    infinity must be in the same places. The twin must not change its arguments or dy. If the reference's pullback takes
    ``needs``, the twin's must do so too, and every combination is compared: None for what is not needed.

    Parameters
    ----------
    reference, twin : callable
        ``(*args, **options) -> (y, pullback)``.
    args : sequence
        NumPy arrays, which are moved to the backend as they are, in C or Fortran order. Each call gets its own copies,
        also of anything else, so that both sides start from the same point of an `xnn.random.Random`.
    options : mapping, optional
        Keyword arguments for both.
    backend : Backend or str
    seed : int
        Of the random dy.
    rtol : float, optional
        Allowed difference, relative to the largest number of each result. By default 1e-12 for float64, 2e-5 for
        float32 and 1e-2 for float16, which allows for rounding in sums of some 10,000 terms (for float16, of a few).
    atol : float
        Additional allowed difference, for results that are nothing but rounding, such as the gradient of a constant.

    Raises
    ------
    AssertionError
        The twin is wrong. The message names the result, the largest difference and where it is.
    ValueError
        A result's dtype has no default `rtol`.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn import functional as F, testing
    >>> def fast_tanh(x):
    ...     y = np.tanh(x)
    ...     return y, lambda dy: dy - dy * y * y
    >>> testing.check_twin(F.tanh, fast_tanh, (np.linspace(-3, 3, 12),))
    """
    on = make_backend(backend)
    sides = [(f"the reference {function_name(reference)}", reference), (f"the twin {function_name(twin)}", twin)]
    comparison = Comparison(sides[0][0], sides[1][0], "in", _default_rtol if rtol is None else lambda dtype: rtol, atol)
    pairs = _Pairs(on, comparison)
    given, names = (args, options or {}), parameter_names(reference)
    results = [watched_call(name, function, *copy.deepcopy(given), on, names) for name, function in sides]
    values, pullbacks = zip(*results, strict=True)
    pairs.check("y", values)
    dy = random_dy(on.to_numpy(values[0], copy=True), seed)
    gradients = pairs.check_gradients(pullbacks, dy)
    if _takes_needs(pullbacks[0]):
        if not _takes_needs(pullbacks[1]):
            raise AssertionError(f"{sides[1][0]}: the pullback takes no needs, as the reference's does")
        for needs in itertools.product((True, False), repeat=gradients):
            pairs.check_gradients(pullbacks, dy, needs)


@dataclass(frozen=True)
class _Pairs:
    """Comparisons of the two sides' results, in pairs (reference's, twin's)."""

    backend: Backend
    comparison: Comparison

    def check(self, name: str, pair: Sequence[Array]) -> None:
        """Compare two arrays."""
        self.comparison.check_equal(name, *map(_place, pair))
        first, other = (self.backend.to_numpy(array) for array in pair)
        self.comparison.check(name, np.asarray(first), np.asarray(other))

    def check_gradients(self, pullbacks: Sequence[Pullback], dy: Array, *needs: tuple[bool, ...]) -> int:
        """Compare the pullbacks' gradients for dy; return how many there are."""
        suffix = "".join(f" with needs={choice}" for choice in needs)
        pair = [pullback(self.backend.asarray(dy.copy()), *needs) for pullback in pullbacks]
        self.comparison.check_equal(f"the pullback's result{suffix}", *map(_structure, pair))
        first, other = map(as_tuple, pair)
        for number, gradients in enumerate(zip(first, other, strict=True)):
            name = f"gradient {number}{suffix}"
            self.comparison.check_equal(name, *("None" if g is None else "an array" for g in gradients))
            if gradients[0] is not None:
                self.check(name, gradients)
        return len(first)


def _takes_needs(pullback: Pullback) -> bool:
    return "needs" in parameter_names(pullback)


def _structure(result: Any) -> str:
    return f"a tuple of {len(result)}" if isinstance(result, tuple | list) else "no tuple"


def _place(array: Any) -> str:
    """Return the library and the device that an array belongs to."""
    library = type(array).__module__.partition(".")[0]
    if library == "builtins":
        return f"a Python {type(array).__name__}"
    return f"an array of {library} on {array_api_compat.device(array)}"


def _default_rtol(dtype: np.dtype[Any]) -> float:
    if dtype.name not in TOLERANCES:
        raise ValueError(f"check_twin: there is no default rtol for {dtype}; give one")
    return TOLERANCES[dtype.name]
