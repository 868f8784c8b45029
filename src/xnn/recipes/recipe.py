"""The form of a recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xnn import nn
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
        ``(task, hidden width, initializer of filters) -> Sequential``, not yet built. Where the settings have a
        ``"shrink"``, that is a fourth argument.
    convolutions
        Whether the network has convolutions, which ``--init`` is for.

    Examples
    --------
    >>> from xnn.recipes import RECIPES
    >>> from xnn.tasks import Task
    >>> recipe = RECIPES["mlp"]
    >>> task = Task("digits", image_shape=(8, 8, 1), classes=10, images=1437)
    >>> recipe.about, recipe.settings(task)["optimizer"]
    ('two hidden layers', 'adamw')
    """

    about: str
    settings: Callable[[Task], dict[str, Any]]
    layers: Callable[..., nn.Sequential]
    convolutions: bool = False


def long_enough(images: int, batch_size: int, epochs: int, steps: int) -> dict[str, int]:
    """Return the settings ``"epochs"`` and ``"evaluate_every"`` of training that has at least so many steps.

    Few images take more epochs than `epochs`, of which then as many are judged as there would be without.
    """
    # A task without images stands for the network of an earlier run, which is not trained.
    needed = -(-steps // -(-max(images, 1) // batch_size))
    return {"epochs": max(epochs, needed), "evaluate_every": max(1, needed // epochs)}
