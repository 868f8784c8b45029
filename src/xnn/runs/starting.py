"""Beginning with the weights of another run: what is taken of them, and what begins anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xnn import nn, optim
from xnn._typing import Report
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

        Raises
        ------
        SettingError
            Nothing fits.
        """
        own, in_head = model.state_dict(), optim.last_layer(model)
        same = tuple(classes) == self.classes
        taken = {
            name: self.arrays[name]
            for name, array in own.items()
            if name in self.arrays
            and self.arrays[name].shape == array.shape
            and (same or not in_head(name, array.shape))
        }
        if not taken:
            raise SettingError(
                f"--from {self.path}: none of its weights fits this network; it is the model {self.settings.model} "
                f"with --hidden {self.settings.hidden}, so leave out --model, --recipe and --hidden"
            )
        with np.errstate(over="ignore"):  # what is too large for float32 shows in the first loss
            model.load_state_dict(own | taken)
        report(f"weights from {self.path}: {some(taken)}")
        new = [name for name in own if name not in taken]
        if new:
            report(f"begins anew: {some(new)}{'' if same else ' (the classes are others)'}")
