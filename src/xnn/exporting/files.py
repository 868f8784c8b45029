"""Writing a model's graph into a file."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnn._version import __version__
from xnn.data import Normalization
from xnn.errors import RunError
from xnn.exporting.graphs import BATCH, Graph, check_packages, record
from xnn.exporting.opsets import OPSET, check_opset, converted
from xnn.exporting.subjects import Subject, subject_of
from xnn.exporting.tidying import tidy
from xnn.files import write_atomically
from xnn.nn import Layer
from xnn.paths import expanded
from xnn.reporting.saved import SavedModel

if TYPE_CHECKING:
    from xnn.sklearn import Classifier, Regressor

_MOST_BYTES = 2**31 - 2**20
"""What a file may hold: ONNX's messages have at most 2 GiB."""


@dataclass(frozen=True)
class Exported:
    """What a file holds.

    Attributes
    ----------
    path : Path
    opset : int
        The version of ONNX's operators.
    input, output : str
        Their names; both have a free first axis, the batch.
    input_shape, output_shape : tuple of int
        Without the batch axis.
    input_dtype : "uint8" or "float32"
        The output is float32.
    views : int
        Over how many views of an image the output is a mean.
    size : int
        Of the file, in bytes.

    Examples
    --------
    >>> from xnn import exporting, nn
    >>> model = nn.Sequential(nn.Linear(3), nn.ReLU()).build((4,))
    >>> exported = exporting.export_onnx(model, "model.onnx", classes=["cat", "dog", "bird"])
    >>> exported.input, exported.input_shape, exported.output
    ('x', (4,), 'probabilities')
    """

    path: Path
    opset: int
    input: str
    input_shape: tuple[int, ...]
    input_dtype: str
    output: str
    output_shape: tuple[int, ...]
    views: int
    size: int


def export_onnx(
    model: "Layer | SavedModel | Classifier | Regressor | str | os.PathLike[str]",
    path: str | os.PathLike[str],
    *,
    normalization: Normalization | None = None,
    classes: Sequence[str] | None = None,
    views: int = 1,
    opset: int = OPSET,
) -> Exported:
    """Write a model as an ONNX file, which onnxruntime and others compute with; the batch may have any length.

    Of a run it is what the run was judged by: images of uint8 ``(batch, h, w, c)`` in, normalized as in training;
    probabilities out, the softmax of the mean over the run's test views. Of an estimator it is what ``predict_proba``
    returns, or ``predict`` of a regressor. Of a model by itself it is what ``model(x)`` returns, unless the arguments
    below say more.

    Parameters
    ----------
    model : Layer, SavedModel, Classifier, Regressor or path
        A built model; a run: its directory, or what `xnn.reporting.load_model` returned for it; or a fitted estimator
        of `xnn.sklearn`. An estimator's input is ``x`` of float32, of the shape ``input_shape_``, before normalization.
    path : path
        The file. It is written whole or not at all; an earlier one is replaced.
    normalization : Normalization, optional
        Makes the input ``images`` of uint8, normalized in the graph, instead of ``x`` of float32. Not for a run or an
        estimator, which has its own, as it has the two that follow.
    classes : sequence of str, optional
        Makes the output ``probabilities``, the softmax of what the model returns, instead of ``outputs``. The names are
        in the file's metadata as ``classes``, a list in JSON.
    views : {1, 2, 6}
        Makes the graph average over views of each image, as `xnn.training.view_averaging.predictor` does.
    opset : int
        The version of ONNX's operators, from 18 to the newest that the installed package of ONNX knows.

    Returns
    -------
    Exported

    Raises
    ------
    BackendError
        ndonnx or onnx is not installed.
    RunError
        There is no sound model at the path, or the file cannot be written.
    TypeError
        The model is neither a layer nor a run nor an estimator.
    ValueError
        An argument is not allowed, an estimator is not fitted, a layer does what a graph cannot, or the model is too
        large for a file.

    Examples
    --------
    >>> import xnn
    >>> model = xnn.nn.Sequential(xnn.nn.Linear(3), xnn.nn.ReLU()).build((4,))
    >>> xnn.export_onnx(model, "model.onnx").output_shape
    (3,)
    """
    check_packages()
    check_opset(opset)
    subject = subject_of(model, normalization, classes, views)
    _check(subject)
    place = expanded(path, "ONNX file", RunError)
    graph = record(subject)
    proto = _proto(graph, opset, subject.output_shape)
    _describe(proto, subject)
    content = _content(proto)
    write_atomically(place, content)
    return Exported(
        place,
        opset,
        subject.input,
        subject.model.input_shape,
        "float32" if subject.normalization is None else "uint8",
        subject.output,
        subject.output_shape,
        subject.views,
        len(content),
    )


def _check(subject: Subject) -> None:
    model, classes = subject.model, subject.classes
    if not hasattr(model, "parameters"):
        raise ValueError("the model has no shapes yet: call build(input_shape) first")
    count = sum(math.prod(entry.shape) for entry in model._all_entries.values())
    if 4 * count > _MOST_BYTES:
        raise ValueError(f"the model has {count:,} numbers, and an ONNX file holds {_MOST_BYTES // 4:,} at most")
    if subject.views != 1 and len(model.input_shape) != 3:
        raise ValueError(f"views are of images (h, w, c), the model's inputs are {model.input_shape}: leave views out")
    normalization = subject.normalization
    if normalization is not None and len(normalization.mean) != model.input_shape[-1]:
        raise ValueError(
            f"the normalization is of {len(normalization.mean)} channels, the model's inputs are {model.input_shape}"
        )
    if classes is None:
        return
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f"classes must be a sequence of names, not {classes!r:.100}")
    if model.output_shape != (len(classes),):
        raise ValueError(f"there are {len(classes)} classes, but the model's outputs are {model.output_shape}")


def _proto(graph: Graph, opset: int, output_shape: tuple[int, ...]) -> Any:
    """Return the graph as ONNX's message, in a version of the operators."""
    import spox

    inputs, outputs = (
        {name: array.unwrap_spox() for name, array in arrays.items()} for arrays in (graph.inputs, graph.outputs)
    )
    proto = converted(spox.build(inputs, outputs), opset)
    tidy(proto)
    # Of some operators no more is known than how many axes there are.
    (output,) = proto.graph.output
    shape = output.type.tensor_type.shape
    del shape.dim[:]
    shape.dim.add().dim_param = BATCH
    for length in output_shape:
        shape.dim.add().dim_value = length
    return proto


def _describe(proto: Any, subject: Subject) -> None:
    """Say in the file who made it, and what its outputs mean."""
    from onnx import helper

    proto.producer_name, proto.producer_version, proto.graph.name = "xnn", __version__, "xnn"
    properties = {"views": str(subject.views)}
    if subject.classes is not None:
        properties["classes"] = json.dumps(list(subject.classes))
    helper.set_model_props(proto, properties)


def _content(proto: Any) -> bytes:
    """Return the bytes of a message that ONNX's own checker finds sound."""
    from onnx import checker

    checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content
