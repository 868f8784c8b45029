"""Calling pullbacks one after another, in reverse."""

from dataclasses import dataclass

from xnn._typing import Array, Pullback


@dataclass(slots=True, eq=False)
class Chain:
    """Pullbacks in the order of their layers, each with a flag: whether an earlier layer needs what it returns.

    With `once`, each pullback is dropped after its call, together with what its layer kept, so that the peak memory of
    a step is lower.
    """

    steps: list[tuple[Pullback, bool]]
    once: bool

    def __call__(self, dy: Array, input_gradient: bool = True) -> Array | None:
        """Return dx, or None if it is not needed.

        Raises
        ------
        RuntimeError
            If it was called before, but may be called only once.
        """
        if not self.steps:
            raise RuntimeError(
                "this pullback was called before, and a model in training lets go of what it used: "
                "call forward again, or with train=False"
            )
        steps = self.steps.copy()
        if self.once:
            # Before the first call, so that after a failure a second try cannot begin halfway.
            self.steps = []
        while steps and dy is not None:
            pullback, is_needed = steps.pop()
            dy = pullback(dy, input_gradient or is_needed)
        return dy
