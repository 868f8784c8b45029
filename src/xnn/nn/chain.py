"""Pullbacks one after another, in reverse."""

from xnn._typing import Array, Pullback


class Chain:
    """Pullbacks in the order of their layers, each with whether a layer before it needs what it returns."""

    __slots__ = ("steps",)

    def __init__(self, steps: list[tuple[Pullback, bool]]) -> None:
        self.steps = steps

    def __call__(self, dy: Array, input_gradient: bool = True) -> Array | None:
        """Return dx, or None where it is not asked for."""
        for pullback, is_needed in reversed(self.steps):
            dy = pullback(dy, input_gradient or is_needed)
            if dy is None:
                break
        return dy

    def consume(self, dy: Array, input_gradient: bool = True) -> Array | None:
        """Return dx likewise, and let go of each pullback once it was called."""
        while self.steps and dy is not None:
            pullback, is_needed = self.steps.pop()
            dy = consume(pullback, dy, input_gradient or is_needed)
        self.steps.clear()
        return dy


def consume(pullback: Pullback, dy: Array, input_gradient: bool = True) -> Array | None:
    """Call a layer's pullback for the last time.

    What each layer kept for it is let go as soon as it was used, so that a step needs less memory at its peak. From
    then on a pullback of `Sequential` returns its argument.
    """
    once = pullback.consume if isinstance(pullback, Chain) else pullback
    dx: Array | None = once(dy, input_gradient)
    return dx
