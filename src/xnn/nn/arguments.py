"""What a layer was made with: the arguments of its constructor, found again in its attributes.

A layer keeps each argument under the argument's own name; where it has something else by that name, such as a parameter
called ``bias``, under the name with an underscore before it.
"""

import functools
import inspect
from collections.abc import Iterator
from inspect import Parameter
from typing import Any

from xnn.nn import initializers
from xnn.nn.copying import MADE_ANEW
from xnn.nn.model import Model

MISSING: Any = object()
"""Stands for an argument that the layer keeps nowhere."""

_WIDTH, _MOST_TEXT = 88, 1000


def signature(kind: type) -> list[Parameter]:
    """Return what a class of layers is made with."""
    _, *parameters = inspect.signature(kind.__init__).parameters.values()  # type: ignore[misc]  # of the class itself
    return parameters


def arguments(layer: Model) -> Iterator[tuple[Parameter, Any]]:
    """Give each argument of a layer's constructor with its value."""
    for parameter in signature(type(layer)):
        own = f"_{parameter.name}"
        if own in vars(layer) and own not in _OTHERS:
            yield parameter, vars(layer)[own]
        else:
            yield parameter, getattr(layer, parameter.name, MISSING)


_OTHERS = frozenset(("_parameters", "_buffers", "_children", *MADE_ANEW))
"""Attributes of every layer that are not arguments."""


def initializer_name(value: Any) -> str | None:
    """Return the name of an initializer of `xnn.nn.initializers`; None for anything else."""
    name = getattr(value, "__name__", "")
    return name if name in initializers.NAMES and getattr(initializers, name) is value else None


def shown(layer: Model) -> str:
    """Return the call that makes a layer, with the names that `xnn.nn` has: what `repr` says of it."""
    parts = []
    for parameter, value in arguments(layer):
        if parameter.kind is Parameter.VAR_POSITIONAL and isinstance(value, tuple | list):
            parts += [_text(item) for item in value]
        elif value is MISSING:
            parts.append(f"{parameter.name}=...")
        elif not _is_default(value, parameter.default):
            is_named = parameter.kind is Parameter.KEYWORD_ONLY or parameter.default is not Parameter.empty
            parts.append(f"{parameter.name}={_text(value)}" if is_named else _text(value))
    name = type(layer).__name__
    line = f"{name}({', '.join(parts)})"
    if "\n" not in line and len(line) <= _WIDTH:
        return line
    inside = "".join(f"{part},\n" for part in parts).replace("\n", "\n    ").rstrip(" ")
    return f"{name}(\n    {inside})"


def _is_default(value: Any, default: Any) -> bool:
    if value is default:
        return True
    # A number that stands for height and width is kept as a pair.
    same = (default, (default, default)) if isinstance(default, int) else (default,)
    return any(type(value) is type(other) and value == other for other in same if isinstance(other, _PLAIN))


_PLAIN = (bool, int, float, str, tuple)


def _text(value: Any) -> str:
    if isinstance(value, functools.partial):
        options = [f"{name}={_text(option)}" for name, option in value.keywords.items()]
        return f"partial({', '.join([_text(value.func), *map(_text, value.args), *options])})"
    name = initializer_name(value)
    if name is not None:
        return f"initializers.{name}"
    if callable(value) and not isinstance(value, Model):
        return str(getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or repr(value))
    text = repr(value)
    return text if isinstance(value, Model) or len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
