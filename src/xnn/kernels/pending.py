"""Gradients that twins return before they are written; see `xnn._typing.Pending`.

`xnn.nn.Parameter` has one written when the gradient is read. An optimizer's twin that can do with less, such as the two
vectors of an outer product, takes it as it is.
"""

from collections.abc import Callable

from xnn._typing import Array


class Outer:
    """The outer product of two vectors, the gradient of a weight that saw a single row."""

    __slots__ = ("left", "right")
    waits = True

    def __init__(self, left: Array, right: Array) -> None:
        self.left, self.right = left, right

    def write(self, place: Array | None = None) -> Array:
        """Return the product, (len(left), len(right)), written to `place` if there is one."""
        product = self.left[:, None] * self.right[None, :]
        if place is None:
            return product
        place[...] = product
        return place


class Computed:
    """What a function computes, which is to go to its place at once, since the function holds large arrays."""

    __slots__ = ("_compute",)
    waits = False

    def __init__(self, compute: Callable[[Array | None], Array]) -> None:
        self._compute = compute

    def write(self, place: Array | None = None) -> Array:
        """Return what the function computes, written to `place` if there is one."""
        return self._compute(place)
