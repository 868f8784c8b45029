"""The network that a run's model.safetensors or checkpoint describes."""

from xnn import nn, recipes
from xnn.runs import schema
from xnn.runs.defaults import check_names
from xnn.runs.settings import Settings
from xnn.tasks import Task


def network_of(description: schema.Description) -> tuple[Settings, nn.Sequential]:
    """Return the settings of a described run and its network, which is not built yet: a file may describe a huge one.

    Raises
    ------
    ValueError, SettingError
        A setting is not allowed, or names no model.
    """
    settings = Settings.from_dict(description["settings"])
    check_names(settings)
    # The number of training images only affects defaults, and these settings have no defaults left to fill in.
    task = Task(settings.dataset, description["image_shape"], len(description["classes"]), images=0)
    # Runs from before these settings existed lack them.
    network = recipes.network(settings.model, task, settings.hidden, settings.init or "kaiming", settings.shrink or 1)
    return settings, network
