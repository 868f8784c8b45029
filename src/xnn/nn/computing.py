"""The context that a model enters for a single call, if nobody has entered it for many."""

from collections.abc import Callable
from dataclasses import dataclass

from xnn._typing import Array, Pullback
from xnn.kernels import Computing


@dataclass(frozen=True, eq=False)
class Outermost:
    """A model's forward, in the context that its functions compute in.

    Parameters
    ----------
    forward : callable
        ``(x, train) -> (y, pullback)``.
    computing : Computing
    """

    forward: Callable[..., tuple[Array, Pullback]]
    computing: Computing

    def __call__(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback), both of which enter the context if they need it."""
        if not self.computing.is_needed:
            return self.forward(x, train)
        with self.computing.entered():
            y, inner = self.forward(x, train)

        def pullback(dy: Array, input_gradient: bool = True) -> Array | None:
            if not self.computing.is_needed:
                return inner(dy, input_gradient)
            with self.computing.entered():
                return inner(dy, input_gradient)

        return y, pullback
