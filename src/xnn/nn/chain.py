"""Pullbacks one after another, in reverse."""

from dataclasses import dataclass

from xnn._typing import Array, Pullback


@dataclass(slots=True, eq=False)
class Chain:
    """Pullbacks in the order of their layers, each with whether a layer before it needs what it returns.

    With `once`, each pullback is dropped after its call, and with it what its layer kept, so that a step needs less
    memory at its peak.
    """

    steps: list[tuple[Pullback, bool]]
    once: bool

    def __call__(self, dy: Array, input_gradient: bool = True) -> Array | None:
        """Return dx, or None where it is not asked for.

        Raises
        ------
        RuntimeError
            If it was called before, and could be called once.
        """
        if not self.steps:
            raise RuntimeError(
                "this pullback was called before, and a model in training lets go of what it used: "
                "call forward again, or with train=False"
            )
        steps = self.steps.copy()
        if self.once:
            # Before the first call, so that one that fails cannot be followed by half of another.
            self.steps = []
        while steps and dy is not None:
            pullback, is_needed = steps.pop()
            dy = pullback(dy, input_gradient or is_needed)
        return dy
