"""Names for types: those that the Array API standard leaves to each library, pullbacks, and reports."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeAlias

Array: TypeAlias = Any
"""An array of any library that meets the Array API standard."""

Namespace: TypeAlias = Any
"""An Array API namespace, such as ``numpy`` or ``array_api_compat.torch``."""

Shape: TypeAlias = tuple[int, ...]

Gradients: TypeAlias = tuple[Array | None, ...]
"""One for each differentiable argument, or None if it was not needed."""

Pullback: TypeAlias = Callable[..., Any]
"""The vector-Jacobian product of one forward call: ``dy -> dx``, or a tuple of gradients."""

Report: TypeAlias = Callable[[str], None]
"""Takes lines for people."""


class Pending(Protocol):
    """A gradient that has not been written.

    Attributes
    ----------
    waits : bool
        Whether it is small enough to be kept until somebody reads the gradient.
    """

    waits: ClassVar[bool]

    def write(self, place: Array | None = None) -> Array:
        """Return the gradient, written to `place` if there is one."""
