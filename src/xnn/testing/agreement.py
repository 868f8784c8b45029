"""The check that a function gives the same numbers on several backends."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.testing.calls import Function, as_tuple, function_name, parameter_names, random_dy, watched_call
from xnn.testing.comparison import Comparison


def check_backends(
    function: Function,
    args: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    *,
    backends: Sequence[Backend | str],
    seed: int = 0,
    rtol: float = 1e-10,
) -> None:
    """Check that a function's value and gradients are equal on all given backends, to rounding.

    Parameters
    ----------
    function : callable
        ``(*args, **options) -> (y, pullback)``.
    args : sequence
        NumPy arrays, which are moved to each backend as they are; anything else is passed on.
    options : mapping, optional
        Keyword arguments for the function.
    backends : sequence of Backend or str
        The others are compared with the first.
    seed : int
        Of the random dy.
    rtol : float
        Allowed difference, relative to the largest number of each result. The default suits float64.

    Raises
    ------
    AssertionError
        Two backends differ; the message names the result, the backends and the largest difference. Or the function
        or its pullback changes what it was given.
    """
    first, *others = [make_backend(backend) for backend in backends]
    expected = _results(function, args, options or {}, first, seed)
    for other in others:
        found = _results(function, args, options or {}, other, seed)
        if found.keys() != expected.keys():
            raise AssertionError(f"{first.name} gives {list(expected)} but {other.name} {list(found)}")
        comparison = Comparison(first.name, other.name, "on", lambda dtype: rtol)
        for name, value in expected.items():
            comparison.check(name, value, found[name])


def _results(
    function: Function, args: Sequence[Any], options: Mapping[str, Any], backend: Backend, seed: int
) -> dict[str, npt.NDArray[Any]]:
    name = f"{function_name(function)} on {backend.name}"
    y, pullback = watched_call(name, function, args, options, backend, parameter_names(function))
    host = backend.to_numpy(y, copy=True)
    gradients = as_tuple(pullback(backend.asarray(random_dy(host, seed))))
    results = {f"gradient {number}": backend.to_numpy(g) for number, g in enumerate(gradients) if g is not None}
    return {"y": host, **results}
