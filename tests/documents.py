"""JSON documents with another value at one place, for tests of what reads them."""

import copy
from collections.abc import Iterator
from typing import Any


def places(value: Any, path: tuple = (), kind: type = object) -> Iterator[tuple]:
    """Yield the path of each value of a kind inside a document."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            if isinstance(inner, kind):
                yield (*path, key)
            yield from places(inner, (*path, key), kind)


def replaced(value: Any, path: tuple, odd: Any) -> Any:
    """Return a copy of a document with another value at a place; the empty path is the whole."""
    if not path:
        return odd
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = odd
    return changed
