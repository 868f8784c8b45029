"""Beginning with the weights of another run: what is taken of them, and what begins anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xnn import nn, optim
from xnn._typing import Report
from xnn.data.splits import HostArray
from xnn.errors import SettingError, some
from xnn.runs import schema
from xnn.runs.described import network_of
from xnn.runs.reading import RunFiles
from xnn.runs.settings import Settings
from xnn.tensors import Arrays


@dataclass(frozen=True)
class Start:
    """The trained weights of another run, and what they were trained for; made by `read`.

    Attributes
    ----------
    path
        The run directory.
    settings
        Those of its model.
    classes
        The names of its outputs.
    arrays
        Its parameters and buffers by name.

    Examples
    --------
    >>> import tempfile
    >>> import xnn
    >>> from xnn.runs.starting import Start
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     settings = xnn.Settings(model="mlp", hidden=8, epochs=1, backend="numpy", run_dir=f"{folder}/run")
    ...     start = Start.read(xnn.train(settings).directory)
    >>> start.settings.model, start.settings.hidden, start.arrays["1.weight"].shape
    ('mlp', 8, (64, 8))
    """

    path: Path
    settings: Settings
    classes: tuple[str, ...]
    arrays: Arrays

    @classmethod
    def read(cls, path: str | Path) -> "Start":
        """Read the model of a run directory, which may come from a stranger.

        Raises
        ------
        RunError
            There is no model at `path`, or its file is damaged.
        """
        with RunFiles.existing(path, "--from") as directory:
            description = directory.read_description()
            with schema.reading(directory.model):
                settings, network = network_of(description)
                count, _ = network.count(description["image_shape"])
            arrays = directory.read_model(description, count)
            with schema.reading(directory.model):
                if sum(array.size for array in arrays.values()) != count:
                    raise ValueError(f"its arrays do not have the {count:,} numbers of its model")
                for name, array in arrays.items():
                    if array.dtype.kind != "f" or not np.isfinite(array).all():
                        raise ValueError(f"'{name}' does not hold finite numbers")
        return cls(directory.path, settings, tuple(description["classes"]), arrays)

    def filled_in(self, settings: Settings) -> Settings:
        """Return settings with this run's model where none is given, and with its width where that is not."""
        model, hidden = settings.model or self.settings.model, settings.hidden
        if hidden is None and model == self.settings.model:
            hidden = self.settings.hidden
        return replace(settings, model=model, hidden=hidden)

    def give(self, model: nn.Sequential, classes: Sequence[str], report: Report) -> None:
        """Put what fits by name and shape into a built model, and report it; for other classes the head stays new.

        Filters of the first layer that are made for colour fit grey images too, and the other way round.

        Raises
        ------
        SettingError
            Nothing fits.
        """
        own, in_head = model.state_dict(), optim.last_layer(model)
        same = tuple(classes) == self.classes
        # The first parameter is the one that sees the image's channels.
        first = next(iter(own))
        taken: Arrays = {}
        for name, array in own.items():
            saved = self.arrays.get(name)
            if saved is not None and saved.shape != array.shape:
                saved = _for_channels(saved, array.shape) if name == first else None
            if saved is not None and (same or not in_head(name, array.shape)):
                taken[name] = saved
        if not taken:
            raise SettingError(
                f"--from {self.path}: none of its weights fits this network; it is the model {self.settings.model} "
                f"with --hidden {self.settings.hidden}, so leave out --model, --recipe and --hidden"
            )
        with np.errstate(over="ignore"):  # what is too large for float32 shows in the first loss
            model.load_state_dict(own | taken)
        report(f"weights from {self.path}: {some(taken)}")
        if first in taken and taken[first] is not self.arrays[first]:
            grey = own[first].shape[2] == 1
            report(f"{first}: {'added up over' if grey else 'shared out among'} the colours, to fit these images")
        new = [name for name in own if name not in taken]
        if new:
            report(f"begins anew: {some(new)}{'' if same else ' (the classes are others)'}")


def _for_channels(filters: HostArray, shape: tuple[int, ...]) -> HostArray | None:
    """Return filters (h, w, c, n) that see in a grey image what the given ones see in the same image in colour.

    A grey image in colour has three channels alike, so its filters are the sum over them. The other way round each
    channel gets a third, so that the mean of the colours takes the place of the grey. None if the shapes differ in
    another way.
    """
    if filters.ndim != 4 or len(shape) != 4 or (*filters.shape[:2], filters.shape[3]) != (*shape[:2], shape[3]):
        return None
    if (filters.shape[2], shape[2]) == (3, 1):
        with np.errstate(over="ignore"):
            return filters[:, :, :1] + filters[:, :, 1:2] + filters[:, :, 2:]
    return np.repeat(filters / 3, 3, axis=2) if (filters.shape[2], shape[2]) == (1, 3) else None
