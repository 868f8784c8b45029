"""The network of a run: built, with its first layer prepared, and partly frozen."""

from collections.abc import Callable

from xnn import data, nn, optim, recipes
from xnn.backends import Backend
from xnn.data.splits import HostArray
from xnn.errors import SettingError
from xnn.runs.settings import Settings, flag, known
from xnn.tasks import Task

WHITENING_IMAGES = 5000
"""Number of training images, the first ones, whose patches determine the whitening."""
FIRST_BIAS = "0.bias"
"""The parameter that `first_bias_epochs` is about."""


def build_network(settings: Settings, task: Task, chosen: Backend) -> nn.Sequential:
    """Return the network that resolved settings name, for the images of a task.

    Raises
    ------
    SettingError
        It does not fit these images.
    """
    try:
        model = recipes.network(settings.model, task, settings.hidden, known(settings.init), settings.shrink)
        model.build(
            task.image_shape,
            backend=chosen,
            seed=settings.seed,
            dtype=settings.dtype,
            precision=known(settings.precision),
        )
    except ValueError as error:
        size = "x".join(map(str, task.image_shape))
        raise SettingError(f"--model {settings.model} does not fit images of {size}: {error}") from error
    return model


def prepare_first_layer(model: nn.Sequential, settings: Settings, images: Callable[[], HostArray]) -> None:
    """Make the first layer whiten patches of the training images, and train its bias, if the settings say so.

    `images` returns the first `WHITENING_IMAGES` of them, normalised; it is called if they are needed.
    """
    whitening, bias_epochs = settings.first_layer == "whitening", settings.first_bias_epochs or 0
    if not (whitening or bias_epochs):
        return
    first = model.layers[0]
    if not isinstance(first, nn.Conv2d) or first.weight.trainable:
        name, value = ("first_layer", "whitening") if whitening else ("first_bias_epochs", bias_epochs)
        raise SettingError(f"{flag(name)} {value}: the model {settings.model} has no frozen first layer; speed has one")
    if whitening:
        filters = data.whitening_filters(images(), first.kernel, known(settings.whitening_eps))
        first.weight.value[...] = model.backend.asarray(filters, dtype=settings.dtype)
    if bias_epochs:
        model.unfreeze(FIRST_BIAS)


def freeze(model: nn.Sequential, prefixes: tuple[str, ...]) -> None:
    """Freeze the parameters that ``--freeze`` names."""
    in_head = optim.last_layer(model)
    for prefix in prefixes:
        if prefix == "body":
            names = [name for name, view in model.parameters.items() if not in_head(name, view.shape)]
        else:
            names = [prefix]
        try:
            for name in names:
                model.freeze(name)
        except ValueError as error:
            raise SettingError(f"--freeze {prefix}: {error}, or body for all but the last layer") from error
    if prefixes and not model.trainable:
        raise SettingError(f"--freeze {','.join(prefixes)}: leaves nothing to train")
