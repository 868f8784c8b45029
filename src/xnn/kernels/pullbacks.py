"""A pullback that can write parameters' gradients to where they belong."""

from collections.abc import Callable, Sequence
from typing import Any

from xnn._typing import Array


class InPlace:
    """A pullback ``(dy, needs) -> (dx, *gradients)`` that also takes the arrays its gradients are to be written to.

    Parameters
    ----------
    pull : callable
        ``(dy, needs, *targets) -> (dx, *gradients)``, a target for each argument but the first. A gradient whose target
        is not None is written there, and is that array.
    outer : callable, optional
        ``dy -> (left, right)``, new vectors, where the gradient of the first parameter is their outer product and large
        enough not to be written for its own sake.
    """

    __slots__ = ("outer", "pull")

    def __init__(
        self,
        pull: Callable[..., tuple[Array | None, ...]],
        outer: Callable[[Array], tuple[Array, Array]] | None = None,
    ) -> None:
        self.pull = pull
        self.outer = outer

    def __call__(self, dy: Array, needs: tuple[bool, bool, bool] = (True, True, True)) -> tuple[Array | None, ...]:
        """Return (dx, *gradients), None where not needed."""
        return self.pull(dy, needs, *(None for _ in needs[1:]))

    def into(self, dy: Array, needs: tuple[bool, ...], targets: Sequence[Any]) -> Array | None:
        """Write the gradients to their targets, and return dx."""
        return self.pull(dy, needs, *targets)[0]
