"""The context that a model enters for each call, unless the caller has entered it for many."""

import functools
from collections.abc import Callable
from typing import Any

from xnn._typing import Array, Pullback


def outermost(forward: Callable[..., tuple[Array, Pullback]]) -> Callable[..., tuple[Array, Pullback]]:
    """Return a layer's forward that enters the context if the layer is a model that needs it.

    Only the layer that was built has `_outermost`, a `xnn.kernels.Computing`. Storing a wrapped forward on it instead
    would make a reference cycle, and a model's memory would not be freed as soon as nobody holds the model.
    """

    @functools.wraps(forward)
    def entering(self: Any, *arguments: Any, **options: Any) -> tuple[Array, Pullback]:
        computing = self.__dict__.get("_outermost")
        if computing is None or not computing.is_needed:
            return forward(self, *arguments, **options)
        with computing.entered():
            y, inner = forward(self, *arguments, **options)

        def pullback(dy: Array, input_gradient: bool = True) -> Array | None:
            if not computing.is_needed:
                return inner(dy, input_gradient)
            with computing.entered():
                return inner(dy, input_gradient)

        return y, pullback

    return entering
