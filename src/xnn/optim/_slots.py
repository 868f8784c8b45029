"""Saving and restoring flat vectors of state by name."""

from collections.abc import Mapping
from typing import Any

from xnn._typing import Array
from xnn.backends import Backend
from xnn.errors import some


def save(steps: int, slots: Mapping[str, Array], backend: Backend) -> dict[str, Any]:
    """Return ``{"steps": steps, "slots": {name: a copy on the host}}``."""
    return {"steps": steps, "slots": {name: backend.to_numpy(slot, copy=True) for name, slot in slots.items()}}


def load(state: Mapping[str, Any], slots: Mapping[str, Array], backend: Backend, dtype: str) -> int:
    """Copy the saved vectors into `slots` and return the saved number of steps.

    Nothing is changed unless all of `state` fits.

    Raises
    ------
    ValueError
        If a slot is missing, unexpected or of another length, or the number of steps is not a count.
    """
    if set(state) != {"steps", "slots"}:
        raise ValueError(f"state must have the keys 'steps' and 'slots', not {sorted(state)}")
    steps, saved = state["steps"], state["slots"]
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps must be an integer of at least 0, not {steps!r}")
    if set(saved) != set(slots):
        raise ValueError(f"state has the slots {some(sorted(saved))}; this object has {some(sorted(slots))}")
    values = {name: _checked(name, saved[name], slots[name].shape, backend, dtype) for name in slots}
    with backend.current():
        for name, value in values.items():
            slots[name][...] = value
    return steps


def _checked(name: str, value: Any, shape: tuple[int, ...], backend: Backend, dtype: str) -> Array:
    array = backend.asarray(value, dtype=dtype)
    if array.shape != shape:
        raise ValueError(f"slot {name!r} has shape {tuple(array.shape)}, this model needs {tuple(shape)}")
    return array
