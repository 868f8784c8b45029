"""The graph of a model: its `forward`, called once with an array of ndonnx, which records what would be computed."""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xnn._typing import Array, Pullback
from xnn.backends import Backend
from xnn.data import Normalization
from xnn.data.splits import HostArray
from xnn.errors import BackendError, to_install
from xnn.exporting.subjects import Subject
from xnn.nn import Layer
from xnn.nn.binding import bound
from xnn.nn.building import named_layers
from xnn.training.view_averaging import Averaged, predictor

BATCH = "batch"
"""The name of the free axis."""

_REFUSALS = (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError)
"""What array libraries raise where they cannot do something; of ndonnx also where a value is known only later."""


def check_packages() -> None:
    """Raise a `BackendError` that says how to get it unless what writes ONNX is installed."""
    for name in ("onnx", "ndonnx"):
        if importlib.util.find_spec(name) is None:
            raise BackendError(f"an export to ONNX needs {name}, which is not installed: {to_install('onnx')}")


@dataclass(frozen=True, eq=False)
class Graph:
    """What is recorded.

    Attributes
    ----------
    inputs, outputs : dict of name to ndonnx array
    """

    inputs: dict[str, Array]
    outputs: dict[str, Array]


def record(subject: Subject) -> Graph:
    """Record a model, with what comes before and after it.

    Raises
    ------
    ValueError
        If one of its layers does what a graph cannot.
    """
    ndonnx = _ndonnx()
    backend = Backend("ndonnx", None, ndonnx, ndonnx.asarray(0).device)
    model = bound(subject.model, backend)
    _name_refusals(model, ndonnx.Array)
    kind = ndonnx.float32 if subject.normalization is None else ndonnx.uint8
    given = ndonnx.argument(shape=(BATCH, *model.input_shape), dtype=kind)
    x = given
    if subject.normalization is not None:
        x = _normalized(given, subject.normalization, ndonnx)
    elif subject.scale is not None:
        x = _scaled(given, *subject.scale, ndonnx)
    y = _averaged(model, predictor(model, subject.views), x, ndonnx)
    if subject.softmax:
        y, _ = model.functions.softmax(y)
    if subject.single:
        y = ndonnx.squeeze(y, axis=1)
    return Graph({subject.input: given}, {subject.output: y})


def _ndonnx() -> Any:
    check_packages()
    with warnings.catch_warnings():
        # Without onnxruntime it computes constants in another way, which is as good here.
        warnings.filterwarnings("ignore", message="onnxruntime is not installed")
        import ndonnx

    return ndonnx


def _normalized(images: Array, normalization: Normalization, ndonnx: Any) -> Array:
    """Return what `Normalization` does, for pixels rather than for rows of them."""
    scale, shift = (ndonnx.asarray(each, dtype=ndonnx.float32) for each in normalization.factors(1))
    return ndonnx.astype(images, ndonnx.float32) * scale - shift


def _scaled(x: Array, mean: HostArray, deviation: HostArray, ndonnx: Any) -> Array:
    """Return what an estimator's scale does, in the same order: numbers may be large beside their deviation."""
    mean, factor = (ndonnx.asarray(each, dtype=ndonnx.float32) for each in (mean, 1.0 / deviation))
    return (x - mean) * factor


def _averaged(model: Layer, predict: Callable[[Array], Array], x: Array, ndonnx: Any) -> Array:
    """Return the outputs for one view or the mean for several, which the graph computes as one batch."""
    if not isinstance(predict, Averaged):
        return predict(x)
    y = model(ndonnx.concat(list(predict.seen(x)), axis=0))
    return predict.mean(_parts(y, predict.views))


def _parts(y: Array, count: int) -> Sequence[Array]:
    """Cut an array, along its first axis, into as many equal parts."""
    import ndonnx

    from xnn.kernels.ndonnx.operators import op

    return [ndonnx.asarray(part) for part in op.split(y.unwrap_spox(), axis=0, num_outputs=count)]


def _name_refusals(model: Layer, kind: type) -> None:
    """Make each layer name itself where a graph cannot do what it does."""
    for name, layer in named_layers(model).items():
        vars(layer)["forward"] = _Named(layer.forward, f"{type(layer).__name__} at '{name}'", kind)


class _Refused(ValueError):  # noqa: N818 - what happened to a layer
    """A layer's name is in it already."""


@dataclass(frozen=True, eq=False)
class _Named:
    """A layer's forward that names the layer in its errors."""

    forward: Callable[..., tuple[Array, Pullback]]
    name: str
    kind: type

    def __call__(self, x: Array, train: bool = False) -> tuple[Array, Pullback]:
        try:
            y, pullback = self.forward(x, train)
        except _Refused:
            raise
        except _REFUSALS as error:
            raise _Refused(f"{self._begin}: {' '.join(str(error).split())}") from error
        if not isinstance(y, self.kind):
            raise _Refused(f"{self._begin}: it returned an array of {type(y).__module__}, which does not depend on x")
        return y, pullback

    @property
    def _begin(self) -> str:
        return (
            f"the layer {self.name} cannot be exported; a layer's forward may call self.functions and the Array API "
            "standard, but not ask how long the batch is"
        )
