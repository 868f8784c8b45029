"""Calls of a function and its pullback that notice when either changes what it was given."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from xnn._typing import Array, Pullback
from xnn.backends import Backend

Function: TypeAlias = Callable[..., tuple[Array, Pullback]]


def watched_call(
    name: str,
    function: Function,
    args: Sequence[Any],
    options: Mapping[str, Any],
    backend: Backend,
    names: Sequence[str],
) -> tuple[Array, Pullback]:
    """Call a function with copies of its arguments on the backend; return (y, pullback), both watched.

    AssertionError says that `name` changes an argument, or that its pullback changes one or dy.
    """
    given = [backend.asarray(a.copy(order="K")) if isinstance(a, np.ndarray) else a for a in args]

    def check_unchanged(culprit: str) -> None:
        for position, (before, now) in enumerate(zip(args, given, strict=True)):
            if isinstance(before, np.ndarray) and not _equal(before, backend.to_numpy(now)):
                raise AssertionError(f"{name}: {culprit} changes {label(position, names)} in place")

    y, pullback = function(*given, **options)
    check_unchanged("the function")

    @functools.wraps(pullback)  # so that its signature can be asked for
    def watched(dy: Array, *needs: Any) -> Any:
        before = backend.to_numpy(dy, copy=True)
        result = pullback(dy, *needs)
        check_unchanged("the pullback")
        if not _equal(before, backend.to_numpy(dy)):
            raise AssertionError(f"{name}: the pullback changes dy in place")
        return result

    return y, watched


def _equal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def label(position: int, names: Sequence[str]) -> str:
    """Return a phrase for an argument, such as ``argument 1 (weight)``."""
    return f"argument {position}" + (f" ({names[position]})" if position < len(names) else "")


def parameter_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of the positional parameters, as far as they can be known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in callables have no signature
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def function_name(function: Callable[..., Any]) -> str:
    """Return the name to report a function, or an object that can be called, by."""
    return str(getattr(function, "__name__", type(function).__name__))


def random_dy(y: npt.NDArray[Any], seed: int) -> npt.NDArray[Any]:
    """Return normal numbers of y's shape and dtype."""
    return np.asarray(np.random.default_rng(seed).standard_normal(y.shape), dtype=y.dtype)


def as_tuple(gradients: Any) -> tuple[Any, ...]:
    """Return what a pullback gave as a tuple, also where it is a single gradient."""
    return tuple(gradients) if isinstance(gradients, tuple | list) else (gradients,)
