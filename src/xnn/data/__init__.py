"""Data sets, batches and augmentation."""

from xnn.data.augmentation import Compose, Cutout, HorizontalFlip, RandomCrop, RandomWindow
from xnn.data.batches import Batches
from xnn.data.by_epoch import AlternatingFlip, FirstEpochs
from xnn.data.mixing import CutMix, MixUp, RandomChoice
from xnn.data.normalization import Normalization
from xnn.data.photographs import ColourJitter, RandomResizedCrop, RandomRotation
from xnn.data.sources import load, names
from xnn.data.splits import Dataset, Split, validation_split
from xnn.data.whitening import whitening_filters

__all__ = [
    "AlternatingFlip",
    "Batches",
    "ColourJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "Dataset",
    "FirstEpochs",
    "HorizontalFlip",
    "MixUp",
    "Normalization",
    "RandomChoice",
    "RandomCrop",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomWindow",
    "Split",
    "load",
    "names",
    "validation_split",
    "whitening_filters",
]
