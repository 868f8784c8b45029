"""What the Array API standard has, in a form that no library waits for."""

from xnn._typing import Array, Namespace


def clamp(xp: Namespace, x: Array, low: float, high: float) -> Array:
    """Return x of namespace xp with what lies outside of [low, high] replaced by the nearer bound; NaN stays.

    The `clip` of array-api-compat selects by boolean masks, and CuPy waits for the device to learn how many numbers
    these select.
    """
    lowest, highest = (xp.full((), bound, dtype=x.dtype, device=x.device) for bound in (low, high))
    return xp.minimum(xp.maximum(x, lowest), highest)
