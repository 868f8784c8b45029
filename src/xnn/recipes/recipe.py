"""The form of a recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xnn import nn
from xnn.nn.initializers import Initializer
from xnn.tasks import Task


@dataclass(frozen=True)
class Recipe:
    """A network and the settings that it is trained with.

    Attributes
    ----------
    about
        The network in a few words.
    settings
        ``task -> settings``: the fields of `xnn.Settings` that the recipe sets, including ``"hidden"``.
    layers
        ``(task, hidden width, initializer of filters) -> Sequential``, not yet built.
    convolutions
        Whether the network has convolutions, which ``--init`` is for.
    """

    about: str
    settings: Callable[[Task], dict[str, Any]]
    layers: Callable[[Task, int, Initializer], nn.Sequential]
    convolutions: bool = False
