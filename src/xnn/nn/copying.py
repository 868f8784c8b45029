"""What `copy.deepcopy` and `pickle` keep of a layer: everything but what `build` makes of it."""

from typing import TYPE_CHECKING, Any

from xnn.nn.building import unite

if TYPE_CHECKING:
    from xnn.nn.layer import Layer

MADE_ANEW = frozenset(
    (
        *("parameters", "gradients", "buffers", "functions", "forward"),
        *("_all_parameters", "_all_buffers", "_segments", "_computing", "_linked", "_outermost", "_steps"),
    )
)
"""Attributes of a built layer that a copy makes anew."""


def state_of(layer: "Layer") -> dict[str, Any]:
    """Return the attributes to keep; a built layer's arrays are copied to the host one by one."""
    state = {name: value for name, value in vars(layer).items() if name not in MADE_ANEW}
    if "backend" in state:
        state[_ARRAYS] = [layer.backend.to_numpy(entry.value, copy=True) for entry in layer._own_entries()]
    return state


def restore(layer: "Layer", state: dict[str, Any]) -> None:
    """Make a built layer a model of its own; a model around it then takes it over."""
    arrays = state.pop(_ARRAYS, None)
    vars(layer).update(state)
    if arrays is None:
        return
    for entry, array in zip(layer._own_entries(), arrays, strict=True):
        entry.value = array
    unite(layer, layer.backend, layer.dtype, layer.precision, layer.random)


_ARRAYS = "_arrays"
