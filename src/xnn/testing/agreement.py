"""The check that a function gives the same numbers on several backends."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.testing.gradients import Function


def check_backends(
    function: Function,
    args: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    *,
    backends: Sequence[Backend | str],
    seed: int = 0,
    rtol: float = 1e-10,
) -> None:
    """Check that a function's value and gradients are equal on all backends given, to rounding.

    Parameters
    ----------
    function : callable
        ``(*args, **options) -> (y, pullback)``.
    args : sequence
        NumPy arrays, which are brought to each backend as they are; anything else is passed on.
    options : mapping, optional
        Keyword arguments for the function.
    backends : sequence of Backend or str
        The first is what the others are compared with.
    seed : int
        Of the random dy.
    rtol : float
        Allowed difference, relative to the largest number of each result. The default suits float64.

    Raises
    ------
    AssertionError
        Two backends differ; the message names the result, the backends and the largest difference.
    """
    first, *others = [make_backend(backend) for backend in backends]
    expected = _results(function, args, options or {}, first, seed)
    for other in others:
        found = _results(function, args, options or {}, other, seed)
        if found.keys() != expected.keys():
            raise AssertionError(f"{first.name} gives {list(expected)} but {other.name} {list(found)}")
        for name, value in expected.items():
            _compare(name, value, found[name], first, other, rtol)


def _results(
    function: Function, args: Sequence[Any], options: Mapping[str, Any], backend: Backend, seed: int
) -> dict[str, npt.NDArray[Any]]:
    given = [backend.asarray(a.copy()) if isinstance(a, np.ndarray) else a for a in args]
    y, pullback = function(*given, **options)
    host = backend.to_numpy(y)
    dy = np.asarray(np.random.default_rng(seed).standard_normal(host.shape), dtype=host.dtype)
    gradients = pullback(backend.asarray(dy))
    gradients = gradients if isinstance(gradients, tuple | list) else (gradients,)
    results = {f"gradient {number}": backend.to_numpy(g) for number, g in enumerate(gradients) if g is not None}
    return {"y": host, **results}


def _compare(
    name: str, expected: npt.NDArray[Any], found: npt.NDArray[Any], first: Backend, other: Backend, rtol: float
) -> None:
    kinds = [f"{array.dtype} {array.shape}" for array in (expected, found)]
    if kinds[0] != kinds[1]:
        raise AssertionError(f"{name} is {kinds[0]} on {first.name} but {kinds[1]} on {other.name}")
    if expected.size == 0:
        return
    difference = float(np.max(np.abs(found - expected)))
    scale = float(np.max(np.abs(expected)))
    if not difference <= rtol * scale:
        raise AssertionError(
            f"{name} differs between {first.name} and {other.name} by up to {difference:.3g}, "
            f"where its largest number is {scale:.3g}"
        )
