"""How often to save, as users write it: ``500`` steps, ``90s``, ``10m``, ``2h``, or ``0`` for never."""

import re
from dataclasses import dataclass

FORM = re.compile(r"([0-9]{1,12})|([0-9]{1,12}(?:\.[0-9]{1,12})?)([smh])")
"""What `Every.parse` takes."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Every:
    """A number of steps, or of seconds; never, if both are None."""

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Every":
        """Read a whole number of steps, or a number with the unit s, m or h, such as ``1.5h``.

        Raises
        ------
        ValueError
            `text` is neither.
        """
        match = FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"expected a number of steps such as 500, or a time such as 90s, 10m or 2h, not {text!r}")
        steps, amount, unit = match.groups()
        if unit is None:
            return cls(steps=int(steps) or None)
        return cls(seconds=float(amount) * _SECONDS[unit] or None)
