"""Layers as JSON, and back: a class's name and its arguments, no code.

A layer is ``{"layer": "Linear", "arguments": {"features": 10, ...}}``, and so are the layers among the arguments. An
initializer is ``{"initializer": "uniform", "arguments": {"reach": 0.5}}``, without a name where it is none of
`xnn.nn.initializers`. All else is a number, a text, a truth value, null, or a list of these.

Layers of `xnn.nn` go by their own names; others by those of their modules too, such as ``"mine.Scale"``. Nothing is
ever imported because a description names it.
"""

import functools
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from inspect import Parameter
from numbers import Integral, Real
from typing import Any

from xnn._typing import Array, Shape
from xnn.nn import initializers
from xnn.nn.arguments import MISSING, arguments, initializer_name, signature
from xnn.nn.layer import Layer
from xnn.random import Random
from xnn.texts import printable

MOST_LAYERS, MOST_VALUES, MOST_DEPTH = 10_000, 200_000, 100
"""Limits of what `made` takes."""

_MOST_NUMBER = 2**53


class UnknownLayer(ValueError):  # noqa: N818 - it names what was found
    """A description names a layer that is not there."""


def unknown_initializer(shape: Shape, random: Random) -> Array:
    """Stand for an initializer that a saved model had, and that is none of `xnn.nn.initializers`.

    Raises
    ------
    ValueError
        Always: the loaded values are there, but new ones cannot be drawn.
    """
    raise ValueError("a saved model's own initializer is not known here, so it cannot be built anew: make it again")


def described(layer: Layer) -> dict[str, Any]:
    """Return a layer, and those inside it, as JSON.

    Raises
    ------
    ValueError
        An argument was not kept as an attribute, or is of a kind that JSON cannot hold.
    """
    kind = type(layer)
    found = {}
    for parameter, value in arguments(layer):
        where = f"{kind.__name__}: the argument '{parameter.name}'"
        if parameter.kind is Parameter.VAR_KEYWORD:
            raise ValueError(f"{where} cannot be saved, as it stands for any: name each argument")
        if value is MISSING:
            raise ValueError(f"{where} cannot be saved, as the layer keeps it nowhere: set self.{parameter.name} to it")
        found[parameter.name] = _encoded(where, value)
    return {"layer": name_of(kind), "arguments": found} if found else {"layer": name_of(kind)}


def name_of(kind: type[Layer]) -> str:
    """Return the name by which descriptions call a class of layers."""
    is_own = kind.__module__.startswith("xnn.nn.")
    return kind.__name__ if is_own else f"{kind.__module__}.{kind.__qualname__}"


def _encoded(where: str, value: Any) -> Any:
    if isinstance(value, Layer):
        return described(value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        if abs(int(value)) <= _MOST_NUMBER:
            return int(value)
    elif isinstance(value, Real) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [_encoded(where, item) for item in value]
    if callable(value):
        return _encoded_initializer(where, value)
    raise ValueError(
        f"{where} cannot be saved, as it is {value!r:.100}: take numbers, texts, flags, layers, and lists of these"
    )


def _encoded_initializer(where: str, value: Any) -> dict[str, Any]:
    function, options = value, {}
    if isinstance(value, functools.partial) and not value.args:
        function, options = value.func, {name: _encoded(where, option) for name, option in value.keywords.items()}
    name = initializer_name(function)
    if name is not None:
        return {"initializer": name, "arguments": options} if options else {"initializer": name}
    if not where.endswith("initializer'"):
        raise ValueError(f"{where} cannot be saved, as it is a function")
    return {"initializer": None}


def made(description: Any, layers: Iterable[type[Layer]] = ()) -> Layer:
    """Return the layer that `described` made a description of, not yet built.

    Parameters
    ----------
    description
        What a JSON text held: anything.
    layers
        Classes to be known besides those of `xnn.nn` and those that the program has defined so far.

    Raises
    ------
    UnknownLayer
        It names a class that is not known.
    ValueError
        It is no description, holds too much, or a layer refuses its arguments.
    """
    return _Maker(layers).layer(description, 0)


class _Maker:
    def __init__(self, layers: Iterable[type[Layer]]) -> None:
        self.given = {_checked(kind).__name__: kind for kind in layers}
        self.known = {name_of(kind): kind for kind in _subclasses(Layer) if _is_open(kind)}
        self.layers_made = self.values_made = 0

    def layer(self, value: Any, depth: int) -> Layer:
        name, found = self._parts(value, "layer")
        self.layers_made += 1
        if self.layers_made > MOST_LAYERS:
            raise ValueError(f"it has more than {MOST_LAYERS:,} layers")
        kind = self._kind(name)
        call = inspect.Signature(signature(kind)).bind_partial()
        for key, inner in found.items():
            taken = call.signature.parameters.get(key)
            if taken is None or taken.kind is Parameter.VAR_KEYWORD:
                raise ValueError(f"{kind.__name__} takes no argument '{printable(key, 100)}'")
            if taken.kind is Parameter.VAR_POSITIONAL and not isinstance(inner, list):
                raise ValueError(f"{kind.__name__}: the argument '{key}' is no list")
            call.arguments[key] = self.value(inner, depth + 1)
        call.apply_defaults()
        try:
            return kind(*call.args, **call.kwargs)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def value(self, value: Any, depth: int) -> Any:
        """Return an argument's value, or an item of one."""
        self.values_made += 1
        if self.values_made > MOST_VALUES:
            raise ValueError(f"its layers have more than {MOST_VALUES:,} arguments")
        if depth > MOST_DEPTH:
            raise ValueError(f"its layers and lists are nested more than {MOST_DEPTH} deep")
        if isinstance(value, list):
            if len(value) > MOST_LAYERS:
                raise ValueError(f"a list among its arguments is longer than {MOST_LAYERS:,}")
            return tuple([self.value(item, depth + 1) for item in value])
        if isinstance(value, dict):
            return self.initializer(value, depth) if "initializer" in value else self.layer(value, depth)
        if isinstance(value, int) and abs(value) > _MOST_NUMBER:
            raise ValueError("a number among its arguments is out of range")
        return value

    def initializer(self, value: dict[str, Any], depth: int) -> Any:
        if value == {"initializer": None}:
            return unknown_initializer
        name, options = self._parts(value, "initializer")
        if name not in initializers.NAMES:
            raise ValueError(f"it has an initializer '{printable(name, 100)}', and there is none of that name")
        function = getattr(initializers, name)
        _, _, *taken = inspect.signature(function).parameters
        if not options.keys() <= set(taken):
            raise ValueError(
                f"the initializer {name} takes {', '.join(taken) or 'no arguments'}, not all of its arguments"
            )
        numbers = {key: self.value(option, depth + 1) for key, option in options.items()}
        if not all(isinstance(number, int | float) for number in numbers.values()):
            raise ValueError(f"the initializer {name} has an argument that is no number")
        return functools.partial(function, **numbers) if numbers else function

    def _parts(self, value: Any, key: str) -> tuple[str, Mapping[str, Any]]:
        """Return the name and the arguments of a layer or an initializer."""
        if not isinstance(value, dict) or not isinstance(value.get(key), str) or value.keys() - {key, "arguments"}:
            raise ValueError(f"where a description of a {key} is expected there is something else")
        found = value.get("arguments", {})
        if not isinstance(found, dict):
            raise ValueError(f"the arguments of '{printable(value[key], 100)}' are not named")
        return value[key], found

    def _kind(self, name: str) -> type[Layer]:
        kind = self.known.get(name)
        if "." in name:
            kind = self.given.get(name.rpartition(".")[2], kind)
        if kind is None:
            short = printable(name.rpartition(".")[2], 100)
            raise UnknownLayer(
                f"it has a layer '{printable(name, 200)}', which is not known here: import its module first, or hand "
                f"over the class, as in xnn.load(path, layers=[{short}])"
            )
        return kind


def _checked(kind: Any) -> type[Layer]:
    if not isinstance(kind, type) or not issubclass(kind, Layer):
        raise TypeError(f"layers must be classes of layers, as in layers=[MyLayer], not {kind!r}")
    return kind


def _subclasses(kind: type[Layer]) -> Iterator[type[Layer]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _subclasses(inner)


def _is_open(kind: type[Layer]) -> bool:
    """Whether a description may name a class: all but what only others derive from."""
    return not (kind.__module__.startswith("xnn.nn.") and kind.__name__.startswith("_"))
