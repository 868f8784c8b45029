"""Computing in a lower type than the parameters': which layers do so, and where numbers are cast."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

from xnn._typing import Array, Pullback
from xnn.backends import PRECISIONS, Backend
from xnn.kernels import precisions, single_pass
from xnn.nn.chain import Chain
from xnn.nn.parameters import Views

if TYPE_CHECKING:
    from xnn.nn.layer import Layer

LOWER = ("float16", "bfloat16")
"""Precisions that are types of their own, narrower than the parameters'."""


def check_precision(precision: str, backend: Backend, dtype: str) -> None:
    """Raise ValueError, with advice, unless models of that dtype can compute in that precision on a backend."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    if precision == "float32":
        return
    if dtype != "float32":
        raise ValueError(f"precision {precision} is for dtype float32, not {dtype}; leave one of the two out")
    offered = precisions(backend)
    if precision not in offered:
        raise ValueError(f"precision {precision} is not offered by {backend.name}, which has {', '.join(offered)}")


def lower(model: "Layer", layers: Mapping[str, "Layer"], parameters: Mapping[str, Any], precision: str) -> None:
    """Make a built model compute in a lower type.

    Parameters
    ----------
    model : Layer
    layers : mapping of name to Layer
        The model itself, and all that is inside it.
    parameters : mapping of name to Parameter
        All of the model's.
    precision : one of `LOWER`
    """
    backend = model.backend
    low, full = backend.dtype(precision), backend.dtype(model.dtype)
    copies = _Copies(model, parameters, precision)
    low_layers = [layer for layer in layers.values() if layer.arithmetic == "low"]
    low_parameters = {id(parameter) for layer in low_layers for parameter in layer._parameters.values()}
    for name, parameter in parameters.items():
        if id(parameter) in low_parameters:
            parameter.operand = copies.views[name]
    for layer in layers.values():
        if layer.arithmetic != "given" and not _casts_by_itself(layer):
            inside, other = (low, full) if layer.arithmetic == "low" else (full, low)
            layer.__dict__["forward"] = Boundary(layer.forward, layer, inside, other, copies)
    # Seen from outside, the model is float32, whatever its class.
    inside, other = (full, low) if model.arithmetic == "full" else (low, full)
    model.__dict__["forward"] = Boundary(model.forward, model, inside, other, copies, full)


def _casts_by_itself(layer: "Layer") -> bool:
    """Whether what a layer calls computes in full from numbers of a lower type; nobody else's code may come between."""
    kind = type(layer)
    ways = (kind.forward, kind.perform, kind.connect, kind.call)
    own = all(way.__module__.startswith("xnn.") for way in ways) and "forward" not in vars(layer)
    return own and layer.arithmetic == "full" and layer.functions.casts(kind.function, kind.inference_function)


class _Copies:
    """A model's parameters in a lower type, as they are when a forward pass begins."""

    def __init__(self, model: "Layer", parameters: Mapping[str, Any], precision: str) -> None:
        starts = model.parameters.starts
        self.model = model
        self.views = Views(parameters, sorted(starts, key=starts.__getitem__), model.backend, precision)
        self.cast = single_pass(model.backend, model.dtype, "cast_vector") or _cast_vector
        self.are_new = False

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Refresh the copies, once for everything that the block calls."""
        self.cast(self.model.parameters.flat, self.views.flat)
        self.are_new = True
        try:
            yield
        finally:
            self.are_new = False


def _cast_vector(vector: Array, place: Array) -> None:
    place[...] = array_namespace(vector).astype(vector, place.dtype)


@dataclass(frozen=True, eq=False)
class Boundary:
    """A layer's forward that computes in one type, whichever of two types its input has.

    Parameters
    ----------
    forward : callable
        ``(x, train) -> (y, pullback)``, the layer's own.
    layer : Layer
    inside, other : dtype
        The types to cast x to and from; the layer refuses x of any third type.
    copies : _Copies
        Of the model's parameters: refreshed by each call from outside, whether of the model or of a layer in it.
    outside : dtype, optional
        Type of y; by default x's.
    """

    forward: Callable[..., tuple[Array, Pullback]]
    layer: "Layer"
    inside: Any
    other: Any
    copies: _Copies
    outside: Any = None

    def __call__(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        """Return (y, pullback)."""
        with nullcontext() if self.copies.are_new else self.copies.renewed():
            return self._call(x, train)

    def _call(self, x: Array, train: bool) -> tuple[Array, Pullback]:
        xp = self.layer.backend.xp
        outside = x.dtype if self.outside is None else self.outside
        steps: list[tuple[Pullback, bool]] = []
        if x.dtype == self.other:
            steps.append((_cast_pullback(xp, x.dtype), False))
            x = xp.astype(x, self.inside)
        y, pullback = self.forward(x, train)
        steps.append((pullback, False))
        if y.dtype != outside:
            # The parameters' gradients depend on this cast as well, not only the input's.
            steps.append((_cast_pullback(xp, y.dtype), True))
            y = xp.astype(y, outside)
        return y, pullback if len(steps) == 1 else Chain(steps, train)


def _cast_pullback(xp: Any, dtype: Any) -> Pullback:
    """Return the pullback of a cast from `dtype`."""

    def pullback(dy: Array, input_gradient: bool = True) -> Array | None:
        return xp.astype(dy, dtype, copy=False) if input_gradient else None

    return pullback
