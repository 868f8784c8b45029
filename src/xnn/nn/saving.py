"""Models in files of the safetensors format: the arrays by name, and in the metadata what makes the layers again."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from xnn import kernels, tensors
from xnn._notes import note
from xnn._typing import Shape
from xnn.backends import Backend
from xnn.backends import backend as make_backend
from xnn.errors import RunError
from xnn.files import Folder
from xnn.nn.architecture import UnknownLayer, described, made
from xnn.nn.building import unite
from xnn.nn.layer import Layer
from xnn.nn.precision import check_precision
from xnn.paths import expanded, explained
from xnn.random import Random
from xnn.strict_json import Name, Size, checked, parsed
from xnn.texts import printable

FILE = "model.safetensors"
"""The model's file in a run directory."""

_KEY = "xnn"
_MOST_ERROR = 500


class _Model(TypedDict):
    """What the metadata says of a model; a run directory's file says more."""

    architecture: Any
    input_shape: Annotated[list[Size], Meta(max_length=32)]
    dtype: Literal["float32", "float64"]
    precision: Name
    tensors: tensors.Tensors


def description(model: Layer) -> dict[str, Any]:
    """Return what makes a built model again, but for its arrays, as JSON.

    Raises
    ------
    ValueError
        A layer has an argument that JSON cannot hold, or does not keep one.
    """
    return {
        "architecture": described(model),
        "input_shape": list(model.input_shape),
        "dtype": model.dtype,
        "precision": model.precision,
    }


def save(model: Layer, path: str | os.PathLike[str]) -> None:
    """Do what `Layer.save` promises."""
    arrays = model.state_dict()
    text = json.dumps({**description(model), "tensors": tensors.described(arrays)}, allow_nan=False)
    place = expanded(path, "model", RunError)
    with explained(RunError, f"cannot write {place}"), Folder(place.parent) as folder:
        tensors.write(folder, place.name, arrays, {_KEY: text})


def load(
    path: str | os.PathLike[str], backend: Backend | str | None = None, layers: Iterable[type[Layer]] = ()
) -> Layer:
    """Return the model of a file that `Layer.save` or a run wrote, built and with its parameters and buffers.

    It gives the same outputs as the model that was saved: on the same backend bit for bit. Nothing in the file is
    executed, or imported because the file names it.

    Parameters
    ----------
    path : path
        The file, or a run directory.
    backend : Backend, str or None
        Where the model is to compute, as in `xnn.backend`. A precision that is not offered there becomes float32.
    layers : classes of layers
        Your own that are in the model. Those whose classes the program has defined before need not be given.

    Raises
    ------
    RunError
        The file cannot be read, is damaged, or has a layer that is not known here.
    BackendError
        The backend is not there.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import xnn
    >>> from xnn import nn
    >>> model = nn.Sequential(nn.Linear(4), nn.ReLU(), nn.Linear(2)).build((3,), backend="numpy")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(Path(folder) / "model.safetensors")
    ...     loaded = xnn.load(Path(folder) / "model.safetensors", backend="numpy")
    >>> loaded
    Sequential(Linear(4), ReLU(), Linear(2))
    >>> bool((loaded.parameters.flat == model.parameters.flat).all())
    True
    """
    chosen, place = make_backend(backend), expanded(path, "model", RunError)
    # A link that the user names is followed; one inside a run directory, which may be a stranger's, is not.
    place = place / FILE if place.is_dir() else place.resolve()
    with _reading(place), Folder(place.parent) as folder:
        said = _said(place, tensors.read_metadata(folder, place.name))
        model, shape = made(said["architecture"], layers), tuple(said["input_shape"])
        count = _count(model, shape)
        arrays = tensors.read_arrays(folder, place.name, said["tensors"], 8 * count)
        # Only now, since a model may be described that is far larger than the file.
        if sum(array.size for array in arrays.values() if array.dtype.name == said["dtype"]) != count:
            raise ValueError(f"its arrays do not have the {count:,} numbers of its model, of type {said['dtype']}")
        precision = said["precision"]
        if precision not in kernels.precisions(chosen):
            note(
                f"{place}: its precision {printable(precision, 100)} is not offered by {chosen.name}, so it is float32"
            )
            precision = "float32"
        check_precision(precision, chosen, said["dtype"])
        unite(model, chosen, said["dtype"], precision, Random(chosen, 0, "layers"))
        model.load_state_dict(arrays)
    return model


def _said(place: Path, metadata: dict[str, str]) -> _Model:
    if _KEY not in metadata:
        raise RunError(f"{place}: this is no model of xnn's, as it has no '{_KEY}' in its metadata")
    found = parsed(metadata[_KEY])
    if isinstance(found, dict) and "architecture" not in found:
        raise RunError(
            f"{place}: it does not say what its layers are, as earlier versions wrote it: take "
            "xnn.reporting.load_model, which asks the run's settings"
        )
    said: _Model = checked(found, _Model)
    return said


def _count(model: Layer, shape: Shape) -> int:
    """Return how many numbers a model has; a layer that cannot be made for its inputs raises a ValueError."""
    try:
        count, _ = model.count(shape)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return count


@contextmanager
def _reading(place: Path) -> Iterator[None]:
    try:
        with explained(RunError, f"cannot read {place}"):
            yield
    except UnknownLayer as error:
        raise RunError(f"{place}: {error}") from error
    except RunError:
        raise
    except ValueError as error:
        raise RunError(f"{place} is damaged: {printable(' '.join(str(error).split()), _MOST_ERROR)}") from error
