"""Between xnn's images, (n, h, w, c), and those of ONNX's operators, (n, c, h, w).

A twin reads x with its channels first and returns y with its channels last, so there is a transposition before and
after each operator. Two that meet undo each other: an array remembers itself with its channels first, and that is what
the next twin reads. A transposition that nothing reads is not part of the graph, so only those at the ends are left.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import ndonnx
import numpy as np
from spox import Var

from xnn._typing import Array
from xnn.kernels.ndonnx.operators import op

_KEPT = "xnn_channels_first"


def channels_first(x: Array) -> Var:
    """(n, ..., c) -> (n, c, ...)."""
    own: Var = x.unwrap_spox()
    if x.ndim < 3:
        return own
    found = _known(x)
    if found is None:
        found = op.transpose(own, perm=(0, x.ndim - 1, *range(1, x.ndim - 1)))
        _keep(x, found)
    return found


def channels_last(y: Var) -> Array:
    """(n, c, ...) -> (n, ..., c)."""
    axes = len(y.unwrap_tensor().shape or ())
    if axes < 3:
        return ndonnx.asarray(y)
    last = ndonnx.asarray(op.transpose(y, perm=(0, *range(2, axes), 1)))
    _keep(last, y)
    return last


def is_known(x: Array) -> bool:
    """Whether x with its channels first is in the graph already."""
    return _known(x) is not None


def elementwise(function: Callable[[Var], Var], x: Array) -> Array:
    """Apply a function of single numbers, in the order of axes that x has already."""
    return channels_last(function(channels_first(x))) if is_known(x) else ndonnx.asarray(function(x.unwrap_spox()))


def constant(values: Any) -> Var:
    """Return float32 numbers that are known when the graph is made."""
    made: Var = op.const(np.asarray(values, np.float32))
    return made


def transposed(weight: Array, axes: Sequence[int]) -> Var:
    """Return a weight with its axes in another order: as a constant, unless the graph computes it."""
    made: Var
    try:
        made = op.const(np.ascontiguousarray(weight.unwrap_numpy().transpose(axes)))
    except ValueError:
        made = op.transpose(weight.unwrap_spox(), perm=axes)
    return made


def no_pullback(*_: Any, **__: Any) -> NoReturn:
    """Stand for the pullback that a graph does not have."""
    raise NotImplementedError("an ONNX graph is recorded for inference, and has no pullback")


def _keep(x: Array, first: Var) -> None:
    setattr(x, _KEPT, (x.unwrap_spox(), first))


def _known(x: Array) -> Var | None:
    before, first = getattr(x, _KEPT, (None, None))
    # Whoever owns x may have written to it since.
    return first if before is x.unwrap_spox() else None
