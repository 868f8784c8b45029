"""A copy of a model on a library that the flat vectors cannot be on."""

import copy
from typing import TYPE_CHECKING

from xnn.backends import Backend
from xnn.nn.building import named_layers, share

if TYPE_CHECKING:
    from xnn.nn.layer import Layer

_OF_FLAT_VECTORS = ("parameters", "gradients", "buffers", "_segments")


def bound(model: "Layer", backend: Backend, dtype: str = "float32") -> "Layer":
    """Return a copy of a built model that computes on another backend, in inference alone.

    Each of its parameters and buffers is an array by itself, not a view of a flat vector. So the library may be one
    whose slices are no views, such as one that records what is computed instead of computing it.

    Parameters
    ----------
    model : Layer
        Built, on any backend, in any precision.
    backend : Backend
    dtype : str
        Of the copy's parameters.
    """
    other = copy.deepcopy(model)
    layers = named_layers(other)
    arrays = {name: model.backend.to_numpy(entry.value, copy=True) for name, entry in other._all_entries.items()}
    share(layers, backend, dtype, "float32", other.random)
    for name, entry in other._all_entries.items():
        entry.value = backend.asarray(arrays[name], dtype=dtype)
    for parameter in other._all_parameters.values():
        parameter.operand = parameter.value
    for layer in layers.values():
        for name in _OF_FLAT_VECTORS:
            vars(layer).pop(name, None)
        layer._link()
    return other
