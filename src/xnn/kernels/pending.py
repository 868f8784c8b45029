"""Gradients that twins return before writing them; see `xnn._typing.Pending`.

`xnn.nn.Parameter` writes such a gradient when somebody reads it. An optimizer's twin that needs less, such as the two
vectors of an outer product, takes it as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from xnn._typing import Array


@dataclass(slots=True, eq=False)
class Outer:
    """The outer product of two vectors: the gradient of a weight for a single row of input.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn.kernels.pending import Outer
    >>> Outer(np.asarray([1.0, 2.0]), np.asarray([1.0, 10.0])).write()
    array([[ 1., 10.],
           [ 2., 20.]])
    """

    left: Array
    right: Array
    waits: ClassVar[bool] = True

    def write(self, place: Array | None = None) -> Array:
        """Return the product, (len(left), len(right)), written to `place` if there is one."""
        product = self.left[:, None] * self.right[None, :]
        if place is None:
            return product
        place[...] = product
        return place


@dataclass(slots=True, eq=False)
class Computed:
    """The result of a function that holds large arrays, and should therefore be written at once.

    Examples
    --------
    >>> import numpy as np
    >>> from xnn.kernels.pending import Computed
    >>> gradient = Computed(lambda place: np.ones(2))
    >>> gradient.waits, gradient.write()
    (False, array([1., 1.]))
    """

    compute: Callable[[Array | None], Array]
    waits: ClassVar[bool] = False

    def write(self, place: Array | None = None) -> Array:
        """Return what the function computes, written to `place` if there is one."""
        return self.compute(place)
