"""The random changes to the training images of a run, as the settings say."""

from collections.abc import Callable
from typing import Any

from xnn import data
from xnn.data.mixing import Mixing
from xnn.runs.settings import MIXINGS, Settings, known

SHIFT = 2
"""Most pixels by which --augment shift moves an image."""


def augmentation(settings: Settings) -> data.Compose | None:
    """Return the random changes to training images; None if they stay as they are."""
    makers: dict[str, Callable[[], Any]] = {
        "flip": data.HorizontalFlip,
        "alternating-flip": data.AlternatingFlip,
        "crop": lambda: data.RandomCrop(padding=4),
        "shift": lambda: data.RandomCrop(padding=SHIFT, fill="reflect"),
        "cutout": lambda: data.Cutout(size=8),
        "resized-crop": data.RandomResizedCrop,
        "rotate": data.RandomRotation,
        "colour": data.ColourJitter,
    }
    chosen = [makers[name]() for name in settings.augment or () if name not in ("none", *MIXINGS)]
    epochs = int(known(settings.epochs) * (settings.window_share or 0.0))
    if settings.window and epochs:
        chosen.append(data.FirstEpochs(data.RandomWindow(settings.window), epochs))
    return data.Compose(tuple(chosen)) if chosen else None


def mixing(settings: Settings) -> Mixing | None:
    """Return what mixes the images of a training batch; None if nothing does."""
    makers: dict[str, Mixing] = {
        "mixup": data.MixUp(settings.mixup_alpha),
        "cutmix": data.CutMix(settings.cutmix_alpha),
    }
    chosen = tuple(makers[name] for name in MIXINGS if name in (settings.augment or ()))
    return data.RandomChoice(chosen) if len(chosen) > 1 else next(iter(chosen), None)
