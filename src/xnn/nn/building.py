"""How layers become one model: what they share, and the names that they have in it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xnn import kernels
from xnn.backends import Backend
from xnn.nn.precision import LOWER, Boundary, lower
from xnn.random import Random

if TYPE_CHECKING:
    from xnn.nn.layer import Layer


def unite(model: "Layer", backend: Backend, dtype: str, precision: str, random: Random) -> None:
    """Make what all layers of a model share, once everything in it has been declared."""
    layers = named_layers(model)
    computing = share(layers, backend, dtype, precision, random)
    model._adopt_arrays(layers)
    if precision in LOWER:
        lower(model, layers, model._all_parameters, precision)
    for layer in layers.values():
        layer._link()
    if computing.matters:
        model._outermost = computing
    model._refresh()


def share(
    layers: "dict[str, Layer]", backend: Backend, dtype: str, precision: str, random: Random
) -> kernels.Computing:
    """Give all layers of a model what they have in common, but for their arrays; return their context."""
    names = {type(layer).function for layer in layers.values()}
    computing = kernels.Computing(backend, dtype, precision, names)
    for layer in layers.values():
        # Left over from an earlier build.
        layer.__dict__.pop("_outermost", None)
        if isinstance(vars(layer).get("forward"), Boundary):
            del layer.forward
        layer.backend, layer.dtype, layer.precision, layer.random = backend, dtype, precision, random
        layer.functions, layer._computing = computing.functions, computing
    return computing


def named_layers(model: "Layer") -> "dict[str, Layer]":
    """Return a layer, under the name "", and all layers inside it, in order."""
    layers: dict[str, Layer] = {}
    names: dict[int, str] = {}
    for name, layer in _walk("", model):
        if id(layer) in names:
            raise ValueError(
                f"layer {type(layer).__name__} stands at both '{names[id(layer)]}' and '{name}'; "
                "parameters cannot be shared: make two layers"
            )
        layers[name], names[id(layer)] = layer, name
    return layers


def _walk(prefix: str, layer: "Layer") -> "Iterator[tuple[str, Layer]]":
    yield prefix, layer
    for name, inside in layer._children.items():
        yield from _walk(f"{prefix}.{name}".removeprefix("."), inside)
