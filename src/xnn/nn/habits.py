"""Layers that are made or built as in another library: what to write instead, in one line."""

import functools
import inspect
import reprlib
import warnings
from collections.abc import Callable
from typing import Any

from xnn._typing import Shape
from xnn.nn.promises import is_of_the_call

_INFERRED = "build infers the inputs"

_ADVICE = {
    "Linear": f"give only the outputs, as in Linear(10): {_INFERRED}",
    "Conv2d": f"give the outputs and the kernel, as in Conv2d(8, 3): {_INFERRED}",
    "BatchNorm": "it takes no number of channels, as in BatchNorm(): build infers it",
    "LayerNorm": "it takes no shape, as in LayerNorm(): build infers the channels, the last axis",
    "MaxPool2d": "give the window and the stride, as in MaxPool2d(3, 2), and the rest by name",
    "AvgPool2d": "give the window and the stride, as in AvgPool2d(3, 2), and the rest by name",
    "Dropout": "give only the rate, as in Dropout(0.5)",
    "Residual": "give a body and at most a shortcut; layers in a row are one Sequential",
}
"""What to say of a layer whose constructor was given too much, or too little."""

_NAMES_HERE = {
    "affine": "scale and shift",
    "dim": "axis",
    "filters": "channels",
    "kernel_size": "kernel",
    "negative_slope": "slope",
    "out_channels": "channels",
    "out_features": "features",
    "p": "rate",
    "pool_size": "window",
    "strides": "stride",
    "units": "features",
}
"""Arguments of PyTorch's and Keras's layers under the names that they have here."""


def explained(init: Callable[..., None]) -> Callable[..., None]:
    """Return a layer's ``__init__`` whose errors about the arguments' number and names say how it is here."""

    @functools.wraps(init)
    def initializing(self: Any, *arguments: Any, **options: Any) -> None:
        try:
            init(self, *arguments, **options)
        except TypeError as error:
            if not is_of_the_call(error):
                raise
            # Called by super(), it is a class's that the layer derives from.
            is_own = type(self).__init__ is initializing
            kind = type(self).__name__ if is_own else init.__qualname__.split(".")[-2]
            raise TypeError(_explanation(kind, init, arguments, options)) from None

    return initializing


def _explanation(kind: str, init: Callable[..., None], arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    shown = [reprlib.repr(value) for value in arguments]
    shown += [f"{name}={reprlib.repr(value)}" for name, value in options.items()]
    _, *taken = inspect.signature(init).parameters.values()
    names = [str(p.replace(annotation=p.empty, default=p.empty)) for p in taken]
    first_by_name = next((number for number, p in enumerate(taken) if p.kind is p.KEYWORD_ONLY), None)
    if first_by_name is not None and not any(p.kind is p.VAR_POSITIONAL for p in taken):
        names.insert(first_by_name, "*")
    renamed = [
        f"{name} is called {_NAMES_HERE[name]} here"
        for name in options
        if name in _NAMES_HERE and name not in [p.name for p in taken]
    ]
    advice = renamed or ([_ADVICE[kind]] if kind in _ADVICE else [])
    return "; ".join([f"{kind}({', '.join(shown)}) does not fit {kind}({', '.join(names)})", *advice])


def warn_of_channels_first(shape: Shape) -> None:
    """Warn where a shape can hardly be an image's of this library, and looks like one of PyTorch's."""
    if len(shape) == 3 and shape[0] in (1, 3) and shape[1] == shape[2] >= 8:
        likely = (*shape[1:], shape[0])
        warnings.warn(
            f"input_shape {shape} looks like (channels, height, width), but here channels come last: give {likely}, "
            "and images of that shape",
            stacklevel=3,
        )
