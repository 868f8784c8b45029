"""Calling a function and its pullback while watching whether either changes what it was given."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from xnn._typing import Array, Pullback
from xnn.backends import Backend

Function: TypeAlias = Callable[..., tuple[Array, Pullback]]
Float64: TypeAlias = npt.NDArray[np.float64]


def watched_call(
    name: str,
    function: Function,
    args: Sequence[Any],
    options: Mapping[str, Any],
    backend: Backend,
    names: Sequence[str],
) -> tuple[Array, Pullback]:
    """Call a function with copies of its arguments on the backend; return (y, pullback), both watched.

    An AssertionError says that `name` changes an argument, or that its pullback changes an argument or dy.
    """
    given = [backend.asarray(a.copy(order="K")) if isinstance(a, np.ndarray) else a for a in args]

    def check_unchanged(culprit: str) -> None:
        for position, (before, now) in enumerate(zip(args, given, strict=True)):
            if isinstance(before, np.ndarray) and not _equal(before, backend.to_numpy(now)):
                raise AssertionError(f"{name}: {culprit} changes {label(position, names)} in place")

    y, pullback = function(*given, **options)
    check_unchanged("the function")

    @functools.wraps(pullback)  # so that its signature can be inspected
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
    """Return the names of the positional parameters, as far as they are known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in callables have no signature
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def function_name(function: Callable[..., Any]) -> str:
    """Return the name to use for a function or another callable in reports."""
    return str(getattr(function, "__name__", type(function).__name__))


def random_dy(y: npt.NDArray[Any], seed: int) -> npt.NDArray[Any]:
    """Return normal numbers of y's shape and dtype."""
    return np.asarray(np.random.default_rng(seed).standard_normal(y.shape), dtype=y.dtype)


def as_tuple(gradients: Any) -> tuple[Any, ...]:
    """Return what a pullback returned as a tuple, even if it is a single gradient."""
    return tuple(gradients) if isinstance(gradients, tuple | list) else (gradients,)


class Call:
    """A function with its arguments, which notices changes to what it is given."""

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
        """Return the pullback's gradients, on the host."""
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
        """Raise if the gradient cannot belong to the argument; None is the gradient of an argument that is None."""
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

    def moved_aside(self, position: int, offset: Float64) -> npt.NDArray[Any]:
        """Return y, which may be complex, with one argument moved along the imaginary axis.

        All floating-point arrays are made complex, so that complex values can be assigned to any of them.
        """
        args = [a.astype(np.complex128) if _is_floating(a) else a for a in self.args]
        args[position] = np.asarray(args[position] + 1j * offset)
        try:
            y, _ = self(args)
        except TypeError as error:
            raise TypeError(f"{self.name} takes no complex arguments, use method='central': {error}") from error
        return np.asarray(self.backend.to_numpy(y))

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


def _is_floating(argument: Any) -> bool:
    return isinstance(argument, np.ndarray) and argument.dtype.kind == "f"


def _double(argument: Any) -> Any:
    return argument.astype(np.float64) if _is_floating(argument) else argument
