"""Names for types: those that the Array API standard leaves to each library, pullbacks, and reports."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeAlias

Array: TypeAlias = Any
"""An array of any library that meets the Array API standard, as xnn returns and holds it.

Which library's it is depends on what was given, so it has every library's methods.
"""

Namespace: TypeAlias = Any
"""An Array API namespace, such as ``numpy`` or ``array_api_compat.torch``."""

Shape: TypeAlias = tuple[int, ...]

Gradients: TypeAlias = tuple[Array | None, ...]
"""One for each differentiable argument, or None if it was not needed."""

Pullback: TypeAlias = Callable[..., Any]
"""The vector-Jacobian product of one forward call: ``dy -> dx``, or a tuple of gradients."""

Report: TypeAlias = Callable[[str], None]
"""Takes lines for people."""


class ArrayObject(Protocol):
    """An array of any library that meets the Array API standard, as the public functions take it.

    Type checkers take NumPy's, CuPy's and PyTorch's arrays for one, but no list, number or text. It has only those
    parts of an array that the functions use, and does not work with `isinstance`.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn.typing import Array, ArrayObject
    >>> def double(x: ArrayObject) -> Array:
    ...     return x + x
    >>> double(np.asarray([1.0, 2.0]))
    array([2., 4.])
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""

    @property
    def ndim(self) -> int:
        """The number of axes."""

    @property
    def dtype(self) -> Any:
        """The type of the numbers, an object of the library's own."""

    @property
    def device(self) -> Any:
        """Where the array is, an object of the library's own."""

    @property
    def T(self) -> Any:  # noqa: N802 - the standard's name
        """A matrix, transposed."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __rtruediv__(self, other: Any, /) -> Any: ...
    def __matmul__(self, other: Any, /) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...
    def __le__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...


ArrayLike: TypeAlias = ArrayObject | list[Any] | tuple[Any, ...]
"""An array of any library, or a nested list of numbers."""


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
