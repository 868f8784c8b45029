"""A model's outputs for data of any length, batch by batch."""

from typing import TYPE_CHECKING, Any

from xnn import _checks
from xnn import functional as F
from xnn._typing import Array
from xnn.backends import Backend
from xnn.backends import backend as make_backend

if TYPE_CHECKING:
    from xnn.nn.model import Model


def outputs_of(model: "Model", x: Any, batch_size: int) -> Array:
    """Return what `Layer.predict` promises."""
    _checks.count("batch_size", batch_size, 1)
    # What is given in the host's memory comes back there, whatever the model computes on.
    is_at_home = isinstance(x, type(model.parameters.flat))
    home = model.backend if is_at_home else make_backend("numpy")
    x = home.asarray(x)
    _check(model, x, home)
    count = int(x.shape[0])
    if count == 0:
        return home.xp.empty((0, *model.output_shape), dtype=home.dtype(model.dtype), device=home.device)
    outputs = None
    with model.computing():
        for start in range(0, count, batch_size):
            stop = min(start + batch_size, count)
            y = model(model.backend.asarray(x[start:stop, ...], dtype=model.dtype))
            y = y if is_at_home else model.backend.to_numpy(y)
            if outputs is None:
                # Images of another size may make outputs of another shape than was built for.
                outputs = home.xp.empty((count, *y.shape[1:]), dtype=y.dtype, device=home.device)
            outputs[start:stop, ...] = y
    return outputs


def probabilities_of(model: "Model", x: Any, batch_size: int) -> Array:
    """Return what `Layer.predict_proba` promises."""
    if model.output_shape[-1:] in ((), (1,)):
        raise ValueError(
            f"predict_proba is for models with a score for each of two or more classes, not outputs of shape "
            f"{model.output_shape}: take predict"
        )
    last = _last(model)
    if type(last).function in ("softmax", "log_softmax"):
        raise ValueError(f"predict_proba: the model ends in {type(last).__name__}() already: take predict")
    return F.softmax(outputs_of(model, x, batch_size))[0]


def last_function(model: "Model") -> str:
    """Return the name of the function that makes a model's outputs, or "" where the last layer names none."""
    name: str = type(_last(model)).function
    return name


def _last(model: "Model") -> Any:
    last: Any = model
    while isinstance(getattr(last, "layers", None), tuple):
        last = last.layers[-1]
    return last


def _check(model: "Model", x: Array, home: Backend) -> None:
    """Raise an error that says what to give unless x is a batch of numbers."""
    if not home.xp.isdtype(x.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"predict takes numbers, not an array of {x.dtype}")
    axes, shape = len(model.input_shape) + 1, tuple(x.shape)
    if len(shape) == axes - 1:
        raise ValueError(f"predict takes a batch, not a single input of shape {shape}: give x[None, ...]")
    if len(shape) != axes:
        raise ValueError(f"predict takes arrays of shape {('n', *model.input_shape)}, not {shape}".replace("'n'", "n"))
